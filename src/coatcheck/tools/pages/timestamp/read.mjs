// From a text to an instant, or a duration, or both. Pure; *now* (seconds) and the zone are arguments.
//
// Rules: an instant is nanoseconds since 1970 UTC, as a text of digits: no number of JavaScript holds them. What can be read
// in two ways is returned in both. What is no date (31 February, 24:30) is none, and is not moved to another day.

import { instantsOf, utcSeconds } from "./zones.mjs";

const NS = { s: 1_000_000_000n, ms: 1_000_000n, us: 1000n, ns: 1n };
const UNIT_WORDS = { s: "seconds", ms: "milliseconds", us: "microseconds", ns: "nanoseconds" };
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const SPANS = { s: 1, sec: 1, second: 1, m: 60, min: 60, minute: 60, h: 3600, hr: 3600, hour: 3600, d: 86_400, day: 86_400, w: 604_800, week: 604_800, month: 2_629_746, y: 31_556_952, year: 31_556_952 };
const LAST_S = 8_640_000_000_000n;
const MOST_SPAN_S = 100_000_000; // three years: beyond, a bare number is hardly meant as a duration
const ZONES = { gmt: 0, utc: 0, ut: 0, z: 0, est: -18_000, edt: -14_400, cst: -21_600, cdt: -18_000, mst: -25_200, mdt: -21_600, pst: -28_800, pdt: -25_200 };

/**
 * `{ form, ns, unit, others, twice, gap, span }`: form is what it was read as, or null; span is a duration in seconds,
 * or null. others: a number in the other units. twice: the second instant of an hour that comes twice.
 */
export function read(text, now, zone) {
  const said = text.trim().replace(/^["'`]+|["'`,;]+$/g, "").trim();
  const none = { form: null, ns: null, unit: null, others: [], twice: null, gap: false, span: null };
  if (said === "" || said.length > 100) return none;
  const found = number(said) ?? relative(said, now) ?? iso(said, zone) ?? mail(said, zone);
  if (found) return { ...none, ...found };
  const span = duration(said);
  return span === null ? none : { ...none, span };
}

function number(said) {
  const match = /^([+-]?)(\d[\d_]*|\d{1,3}(?:[, ]\d{3})+)(?:\.(\d{1,12}))?$/.exec(said);
  if (!match) return null;
  const digits = match[2].replace(/[_, ]/g, "");
  if (digits.length > 22) return null;
  const scaled = (unit) => {
    const size = NS[unit];
    const part = match[3] ? (BigInt(match[3].padEnd(12, "0")) * size) / 1_000_000_000_000n : 0n;
    return (BigInt(digits) * size + part) * (match[1] === "-" ? -1n : 1n);
  };
  const length = digits.replace(/^0+/, "").length;
  const unit = length <= 11 ? "s" : length <= 14 ? "ms" : length <= 17 ? "us" : "ns";
  const fits = (ns) => ns / NS.s <= LAST_S && ns / NS.s >= -LAST_S;
  if (!fits(scaled(unit))) return null;
  const others = Object.keys(NS).filter((one) => one !== unit && fits(scaled(one))).map((one) => ({ unit: UNIT_WORDS[one], ns: String(scaled(one)) }));
  const seconds = Number(digits) * (match[1] === "-" ? -1 : 1);
  return { form: "number", ns: String(scaled(unit)), unit: UNIT_WORDS[unit], others, span: unit === "s" && Math.abs(seconds) <= MOST_SPAN_S ? seconds : null };
}

function relative(said, now) {
  const word = said.toLowerCase();
  const at = (seconds) => ({ form: "relative", ns: String(BigInt(Math.round((now + seconds) * 1000)) * NS.ms) });
  if (word === "now") return at(0);
  const ahead = /^in\s+(.+)$/.exec(word)?.[1] ?? /^\+\s*(\d.*)$/.exec(word)?.[1] ?? /^(.+?)\s+(?:from now|later)$/.exec(word)?.[1];
  const ago = /^(.+?)\s+(?:ago|earlier)$/.exec(word)?.[1] ?? /^-\s*(\d.*[a-z])$/.exec(word)?.[1];
  const span = ahead === undefined ? ago === undefined ? null : duration(ago) : duration(ahead);
  return span === null ? null : at(ahead === undefined ? -span : span);
}

/** Seconds of "15m", "1 hour 30 minutes", "PT15M", "1:30:00"; or null. */
export function duration(said) {
  const text = said.trim().toLowerCase();
  const clock = /^(\d{1,6}):([0-5]\d):([0-5]\d)$/.exec(text);
  if (clock) return Number(clock[1]) * 3600 + Number(clock[2]) * 60 + Number(clock[3]);
  const parts = /^p(?=[\dt])(?:(\d+)w)?(?:(\d+)d)?(?:t(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?)?$/.exec(text);
  if (parts) return [604_800, 86_400, 3600, 60, 1].reduce((sum, size, index) => sum + Number(parts[index + 1] ?? 0) * size, 0);
  const words = text.replace(/\b(?:a|an|one)\b/g, "1").replace(/\band\b|,/g, " ");
  if (!/^\s*(?:\d+(?:\.\d+)?\s*[a-z]+\s*)+$/.test(words)) return null;
  let sum = 0;
  for (const [, count, name] of words.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/g)) {
    const size = SPANS[name] ?? SPANS[name.replace(/s$/, "")];
    if (size === undefined) return null;
    sum += Number(count) * size;
  }
  return sum;
}

function iso(said, zone) {
  const match = /^([+-]\d{6}|\d{4})-?(\d\d)-?(\d\d)(?:[Tt ]\s?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9})\d*)?)?\s*(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?$/.exec(said);
  if (!match || /^\d{8}$/.test(said)) return null;
  const [, year, month, day, hour, minute, second, fraction, offset] = match;
  return moment("ISO 8601", [Number(year), Number(month), Number(day), Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0)], fraction, offset, zone);
}

/** RFC 2822 and the three forms of RFC 9110. */
function mail(said, zone) {
  const text = said.replace(/\([^)]*\)/g, " ").replace(/\s+/g, " ").trim();
  const first = /^(?:[a-z]{3,9},? )?(\d{1,2})[ -]([a-z]{3})[ -](\d{2}|\d{4}) (\d{1,2}):(\d\d)(?::(\d\d))? ?([+-]\d{4}|[a-z]{1,4})?$/i.exec(text);
  const asctime = /^[a-z]{3} ([a-z]{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})$/i.exec(text);
  if (!first && !asctime) return null;
  const [day, name, year, hour, minute, second, offset] = first
    ? first.slice(1)
    : [asctime[2], asctime[1], asctime[6], asctime[3], asctime[4], asctime[5], "GMT"];
  const month = MONTHS.indexOf(name.toLowerCase()) + 1;
  if (month === 0) return null;
  const full = year.length === 2 ? Number(year) + (Number(year) >= 50 ? 1900 : 2000) : Number(year);
  return moment("RFC 2822 or RFC 9110", [full, month, Number(day), Number(hour), Number(minute), Number(second ?? 0)], undefined, offset, zone);
}

function moment(form, [year, month, day, hour, minute, second], fraction, offset, zone) {
  const wall = utcSeconds(year, month, day, hour, minute, second);
  const back = new Date((wall - hour * 3600 - minute * 60 - second) * 1000);
  const isDay = month >= 1 && month <= 12 && back.getUTCMonth() + 1 === month && back.getUTCDate() === day;
  const isTime = minute <= 59 && (hour <= 23 ? second <= 60 : hour === 24 && minute === 0 && second === 0);
  if (!isDay || !isTime) return null;
  const given = offsetOf(offset);
  if (offset !== undefined && given === null) return null;
  const found = given === null ? instantsOf(wall, zone) : [wall - given];
  const part = BigInt((fraction ?? "").padEnd(9, "0") || "0");
  const ns = (at) => String(BigInt(at) * NS.s + part);
  if (found.length === 0) return { form, gap: true };
  return { form, ns: ns(found[0]), twice: found.length > 1 ? ns(found[1]) : null };
}

function offsetOf(text) {
  if (text === undefined) return null;
  const match = /^([+-])(\d\d):?(\d\d)?$/.exec(text);
  if (!match) return ZONES[text.toLowerCase()] ?? null;
  const minutes = Number(match[2]) * 60 + Number(match[3] ?? 0);
  return minutes > 1439 || Number(match[3] ?? 0) > 59 ? null : minutes * 60 * (match[1] === "-" ? -1 : 1);
}
