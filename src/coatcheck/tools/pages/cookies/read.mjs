// From a pasted text to the cookies that it sets. Pure.
//
// Rules: what a browser does, by RFC 6265bis section 5.6, letter for letter: what it skips is skipped here, and named. A
// line is a Set-Cookie header if it says so; a text in which no line does is taken for one value a line.

const HEADER = /^\s*(?:<\s*)?set-cookie\s*:/i;
const SENT = /^\s*(?:>\s*)?cookie\s*:/i;
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;
const KNOWN = new Set(["expires", "max-age", "domain", "path", "secure", "httponly", "samesite", "partitioned", "priority"]);
const MOST_COOKIES = 50;
const MOST_VALUE = 1024;

/** `{ cookies, isResponse, isSent, more, cacheControl }`: at most fifty cookies, and how many more there are. */
export function readText(text) {
  const lines = text.split(/\r\n|\n|\r/).filter((line) => line.trim() !== "");
  const headers = lines.filter((line) => HEADER.test(line));
  const values = headers.length > 0 ? headers.map((line) => line.replace(HEADER, "")) : lines.filter((line) => !SENT.test(line)).map(unquoted);
  const cached = lines.find((line) => /^\s*(?:<\s*)?cache-control\s*:/i.test(line));
  return {
    cookies: values.slice(0, MOST_COOKIES).map(readCookie),
    isResponse: lines.some((line) => /^\s*(?:<\s*)?HTTP\/\d/i.test(line)) || (headers.length > 0 && lines.length > headers.length),
    isSent: headers.length === 0 && lines.some((line) => SENT.test(line)),
    more: Math.max(0, values.length - MOST_COOKIES),
    cacheControl: cached === undefined ? null : cached.slice(cached.indexOf(":") + 1).trim().toLowerCase(),
  };
}

function unquoted(line) {
  const inside = /^\s*(["'])(.*)\1\s*,?\s*$/.exec(line);
  return inside ? inside[2] : line;
}

/** One cookie: `name`, `value`, `attributes` as they stand, and `takes`, what a browser makes of them. */
export function readCookie(line) {
  const [pair, ...rest] = line.split(";");
  const equals = pair.indexOf("=");
  const name = equals < 0 ? "" : blanksOff(pair.slice(0, equals));
  const value = blanksOff(equals < 0 ? pair : pair.slice(equals + 1));
  const attributes = rest.map(readAttribute).filter((one) => one.name !== "" || one.value !== "");
  return { line: line.trim(), name, value, attributes, takes: taken(attributes), hasControl: CONTROL.test(line), bytes: utf8Length(name) + utf8Length(value) };
}

function readAttribute(text) {
  const equals = text.indexOf("=");
  const name = blanksOff(equals < 0 ? text : text.slice(0, equals));
  const value = equals < 0 ? "" : blanksOff(text.slice(equals + 1));
  const key = name.toLowerCase();
  return { name, key, value, isKnown: KNOWN.has(key), isTooLong: utf8Length(value) > MOST_VALUE };
}

/** Of two with one name the later counts; a value that a browser cannot read counts for nothing. */
function taken(attributes) {
  const takes = { secure: false, httpOnly: false, partitioned: false, sameSite: null, path: null, domain: null, maxAge: null, expires: null };
  for (const { key, value, isTooLong } of attributes) {
    if (isTooLong) continue;
    if (key === "secure") takes.secure = true;
    if (key === "httponly") takes.httpOnly = true;
    if (key === "partitioned") takes.partitioned = true;
    if (key === "samesite") takes.sameSite = { none: "None", lax: "Lax", strict: "Strict" }[value.toLowerCase()] ?? null;
    if (key === "path") takes.path = value.startsWith("/") ? value : null;
    if (key === "domain") takes.domain = value.replace(/^\./, "").toLowerCase() || null;
    if (key === "max-age" && /^-?\d+$/.test(value)) takes.maxAge = Number(value);
    if (key === "expires") takes.expires = readDate(value) ?? takes.expires;
  }
  return takes;
}

function blanksOff(text) {
  return text.replace(/^[ \t]+|[ \t]+$/g, "");
}

function utf8Length(text) {
  return new TextEncoder().encode(text).length;
}

const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/** Seconds since 1970 of a date as browsers read it (RFC 6265, section 5.1.1), or null. */
export function readDate(text) {
  const found = {};
  for (const token of text.split(/[\t\u0020-\u002f\u003b-\u0040\u005b-\u0060\u007b-\u007e]+/)) {
    const time = /^(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\D|$)/.exec(token);
    const day = /^(\d{1,2})(?:\D|$)/.exec(token);
    const month = MONTHS.indexOf(token.slice(0, 3).toLowerCase());
    const year = /^(\d{2,4})(?:\D|$)/.exec(token);
    if (time && !found.time) found.time = time.slice(1).map(Number);
    else if (day && found.day === undefined) found.day = Number(day[1]);
    else if (month >= 0 && found.month === undefined) found.month = month;
    else if (year && found.year === undefined) found.year = Number(year[1]);
  }
  const { time, day, month, year: said } = found;
  if (!time || day === undefined || month === undefined || said === undefined) return null;
  const year = said >= 70 && said <= 99 ? said + 1900 : said <= 69 ? said + 2000 : said;
  const [hour, minute, second] = time;
  if (year < 1601 || hour > 23 || minute > 59 || second > 59) return null;
  const at = Date.UTC(year, month, day, hour, minute, second);
  return new Date(at).getUTCDate() === day ? at / 1000 : null;
}
