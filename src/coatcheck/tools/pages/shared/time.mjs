// Instants and spans in words. Pure: *now* is always an argument; only the words for a zone ask the browser's calendar.
//
// Rules: seconds since 1970 UTC, fractions allowed; what no calendar can show is null, never a wrong date.

const LAST_S = 8.64e12; // where JavaScript's calendar ends, in the year 275760
const UNITS = [[31_556_952, "year"], [86_400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

/** A span as people say it, with two units where the first alone would be coarse: "2 hours 5 minutes". */
export function span(seconds) {
  const whole = Math.floor(Math.abs(seconds));
  const index = UNITS.findIndex(([size]) => whole >= size);
  if (index < 0) return "0 seconds";
  const [size, unit] = UNITS[index];
  const count = Math.floor(whole / size);
  const first = counted(count, unit);
  const [smaller, smallerUnit] = UNITS[index + 1] ?? [0, ""];
  const rest = smaller ? Math.floor((whole % size) / smaller) : 0;
  const isCoarse = unit !== "minute" && count < (unit === "day" ? 60 : 10);
  return rest > 0 && (isCoarse || count < 2) ? `${first} ${counted(rest, smallerUnit)}` : first;
}

/** "3 minutes ago", "in 2 hours 5 minutes", "now". */
export function relative(at, now) {
  const ahead = at - now;
  if (Math.abs(ahead) < 1) return "now";
  return ahead > 0 ? `in ${span(ahead)}` : `${span(ahead)} ago`;
}

/** "2026-01-31 12:00:00 UTC", or null. */
export function utc(at) {
  const iso = isoUtc(at);
  return iso && `${iso.replace("T", " ").replace("Z", "")} UTC`;
}

/** "2026-01-31T12:00:00Z", with three digits of a second if there are any, or null. */
export function isoUtc(at) {
  if (!Number.isFinite(at) || Math.abs(at) > LAST_S) return null;
  return new Date(at * 1000).toISOString().replace(".000Z", "Z");
}

/** The same where the reader is: "Saturday 31 January 2026, 13:00:00 GMT+1", or null. */
export function local(at) {
  if (isoUtc(at) === null) return null;
  const words = new Intl.DateTimeFormat("en-GB", {
    weekday: "short", day: "numeric", month: "short", year: "numeric",
    hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  });
  return words.format(new Date(at * 1000));
}

function counted(count, unit) {
  return `${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`;
}
