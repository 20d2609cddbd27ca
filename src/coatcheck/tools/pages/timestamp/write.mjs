// An instant in every form that people ask for. Pure.
//
// Rules: whole units are rounded down, as clocks do; nothing that is shown is more exact than what was read.

import { isoUtc, span } from "../shared/time.mjs";
import { offsetAt, offsetText } from "./zones.mjs";

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function floorDiv(ns, size) {
  return ns >= 0n || ns % size === 0n ? ns / size : ns / size - 1n;
}

/** Whole seconds, milliseconds, microseconds and nanoseconds, as texts. */
export function units(ns) {
  const exact = BigInt(ns);
  return { seconds: String(floorDiv(exact, 1_000_000_000n)), milliseconds: String(floorDiv(exact, 1_000_000n)), microseconds: String(floorDiv(exact, 1000n)), nanoseconds: String(exact) };
}

/** "2026-01-31T12:00:00.5Z" with the digits that there are, or null where no calendar of a browser goes. */
export function isoExact(ns) {
  const exact = BigInt(ns);
  const seconds = floorDiv(exact, 1_000_000_000n);
  const whole = isoUtc(Number(seconds));
  const rest = String(exact - seconds * 1_000_000_000n).padStart(9, "0").replace(/0+$/, "");
  return whole === null ? null : whole.replace("Z", `${rest && `.${rest}`}Z`);
}

/** "2026-01-31T13:00:00+01:00" in a zone. */
export function isoIn(ns, zone) {
  const seconds = Number(floorDiv(BigInt(ns), 1_000_000_000n));
  const offset = offsetAt(seconds, zone);
  const shown = isoUtc(seconds + offset);
  return shown && shown.replace("Z", offsetText(offset));
}

/** "Sat, 31 Jan 2026 12:00:00 GMT" (RFC 9110, section 5.6.7); null for years without four digits. */
export function httpDate(ns) {
  return dateWords(ns, "GMT");
}

/** "Sat, 31 Jan 2026 12:00:00 +0000" (RFC 2822). */
export function mailDate(ns) {
  return dateWords(ns, "+0000");
}

function dateWords(ns, zone) {
  const made = new Date(Number(floorDiv(BigInt(ns), 1_000_000_000n)) * 1000);
  const year = made.getUTCFullYear();
  if (Number.isNaN(year) || year < 1000 || year > 9999) return null;
  const two = (number) => String(number).padStart(2, "0");
  return `${DAYS[made.getUTCDay()]}, ${two(made.getUTCDate())} ${MONTHS[made.getUTCMonth()]} ${year} ${two(made.getUTCHours())}:${two(made.getUTCMinutes())}:${two(made.getUTCSeconds())} ${zone}`;
}

/** Every unit of a duration: "1 day 2 hours 3 minutes 4 seconds". */
export function spanWords(seconds) {
  const parts = [];
  let rest = Math.abs(seconds);
  for (const [size, unit] of [[86_400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]]) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`);
    rest -= count * size;
  }
  const words = parts.length === 0 ? span(0) : parts.join(" ");
  return seconds < 0 ? `minus ${words}` : words;
}

/** What is worth knowing about an instant: codes. */
export function remarks(ns) {
  const seconds = floorDiv(BigInt(ns), 1_000_000_000n);
  const found = [];
  if (seconds > 2_147_483_647n) found.push(seconds > 4_294_967_295n ? "beyond_2106" : "beyond_2038");
  if (seconds < 0n) found.push("before_1970");
  if (seconds < -2_147_483_648n) found.push("before_1901");
  if (seconds < -12_219_292_800n) found.push("before_gregorian");
  return found;
}
