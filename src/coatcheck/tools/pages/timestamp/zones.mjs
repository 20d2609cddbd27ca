// Clocks on the wall of any zone, and back. Pure; the rules of the zones are the browser's.
//
// Rules: whole seconds since 1970; years before 1 and after 9999 are left to UTC. A time on the wall can be none (the hour
// that is skipped in spring) or two (the one that comes twice in autumn): all of them are returned.

const DAY_S = 86_400;
const cache = new Map();

function partsOf(zone) {
  if (!cache.has(zone)) {
    cache.set(zone, new Intl.DateTimeFormat("en-US", {
      timeZone: zone, hourCycle: "h23", era: "short", year: "numeric", month: "numeric", day: "numeric",
      hour: "numeric", minute: "numeric", second: "numeric",
    }));
  }
  return cache.get(zone);
}

/** Seconds by which the clocks of a zone are ahead of UTC at an instant. */
export function offsetAt(at, zone) {
  const whole = Math.floor(at);
  const parts = Object.fromEntries(partsOf(zone).formatToParts(new Date(whole * 1000)).map(({ type, value }) => [type, value]));
  const year = parts.era.startsWith("B") ? 1 - Number(parts.year) : Number(parts.year);
  const wall = utcSeconds(year, Number(parts.month), Number(parts.day), Number(parts.hour), Number(parts.minute), Number(parts.second));
  return wall - whole;
}

/** Seconds since 1970 of a date in UTC; `Date.UTC` takes the years 0 to 99 for those of the last century. */
export function utcSeconds(year, month, day, hour, minute, second) {
  const made = new Date(0);
  made.setUTCFullYear(year, month - 1, day);
  return made.getTime() / 1000 + hour * 3600 + minute * 60 + second;
}

/** All instants at which the clocks of a zone show *wall* (seconds, as if it were UTC): none, one or two, in order. */
export function instantsOf(wall, zone) {
  const offsets = new Set([offsetAt(wall - DAY_S, zone), offsetAt(wall, zone), offsetAt(wall + DAY_S, zone)]);
  const found = [...offsets].map((offset) => wall - offset).filter((at) => at + offsetAt(at, zone) === wall);
  return [...new Set(found)].toSorted((one, other) => one - other);
}

/** "+01:00"; with seconds where a zone had some, long ago. */
export function offsetText(offset) {
  const [sign, whole] = offset < 0 ? ["-", -offset] : ["+", offset];
  const two = (number) => String(number).padStart(2, "0");
  const rest = whole % 60;
  return `${sign}${two(Math.floor(whole / 3600))}:${two(Math.floor(whole / 60) % 60)}${rest ? `:${two(rest)}` : ""}`;
}

/** Whether the browser knows a zone of this name. */
export function isZone(name) {
  try {
    partsOf(name);
    return true;
  } catch {
    return false;
  }
}
