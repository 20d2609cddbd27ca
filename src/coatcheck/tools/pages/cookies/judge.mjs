// What a browser does with a cookie, what is missing, and the line that would be better. Pure; *now* is an argument.
//
// Rules: RFC 6265bis where it says so; where browsers differ, that is said. A cookie is judged as if it let somebody in,
// unless its name says that scripts are to read it (CSRF tokens): then HttpOnly is not asked for.

import { worstFirst } from "../shared/findings.mjs";
import { span, utc } from "../shared/time.mjs";

const MOST_BYTES = 4096;
const MOST_ATTRIBUTES = 40; // no cookie has as many; what comes behind is not remarked upon
const MOST_AGE_S = 400 * 86_400;
const FOR_SCRIPTS = /csrf|xsrf/i;
const JWT = /^["']?ey[\w-]+\.ey[\w-]+\.[\w-]*["']?$/;

/** `{ kind, title, text }`: kind is "refused", "deleted", "session" or "kept". */
export function fate(cookie, now) {
  const { takes } = cookie;
  const why = refusal(cookie);
  if (why) return { kind: "refused", title: "Browsers refuse this cookie", text: why };
  const end = endOf(takes, now);
  const where = takes.domain ? `to ${takes.domain} and every host below it` : "to this host alone";
  const when = `${takes.secure ? "Over https only" : "Over https, and over http"}, ${where}, for ${takes.path && takes.path !== "/" ? `paths below ${takes.path}` : takes.path ? "every path" : "paths beside the one that set it"}.`;
  if (end !== null && end <= now) return { kind: "deleted", title: "Browsers delete this cookie", text: `It is over already. A cookie with the same name, Domain and Path goes at once; one with another stays.` };
  if (end === null) return { kind: "session", title: "Kept until the browser is closed", text: `${when} Browsers that restore their tabs keep it for longer.` };
  return { kind: "kept", title: `Kept for ${span(end - now)}, until ${utc(end)}`, text: when };
}

/** When a browser lets it go, seconds since 1970; null: with the browser. Max-Age goes before Expires. */
export function endOf(takes, now) {
  if (takes.maxAge !== null) return takes.maxAge <= 0 ? 0 : Math.floor(now) + Math.min(takes.maxAge, MOST_AGE_S);
  return takes.expires === null ? null : Math.min(takes.expires, Math.floor(now) + MOST_AGE_S);
}

function refusal({ name, value, takes, hasControl, bytes }) {
  if (hasControl) return "There is a control character in it.";
  if (name === "" && value === "") return "It has neither a name nor a value.";
  if (bytes > MOST_BYTES) return `Name and value are ${bytes.toLocaleString("en")} bytes; 4,096 are the most.`;
  if (takes.sameSite === "None" && !takes.secure) return "SameSite=None needs Secure.";
  if (takes.partitioned && !takes.secure) return "Partitioned needs Secure.";
  const prefix = /^__(?:host|secure)-/i.exec(name === "" ? value : name)?.[0].toLowerCase();
  if (prefix && name === "") return "Without a name, its value must not begin like a prefix.";
  if (prefix && !takes.secure) return `A name that begins with ${name.slice(0, prefix.length)} needs Secure.`;
  if (prefix === "__host-" && takes.domain) return "A name that begins with __Host- must have no Domain.";
  if (prefix === "__host-" && takes.path !== "/") return "A name that begins with __Host- needs Path=/.";
  return null;
}

/** What is missing or odd, worst first. */
export function cookieFindings(cookie, now) {
  const { name, value, takes } = cookie;
  const end = endOf(takes, now);
  if (end !== null && end <= now) return worstFirst(oddAttributes(cookie));
  const found = oddAttributes(cookie);
  const add = (code, level, title, text) => found.push({ code, level, title, text });
  if (!takes.secure) add("no_secure", "danger", "Secure is missing", "It is sent over http, too: whoever listens on the network, or answers in the place of the site once, has it.");
  if (!takes.httpOnly && !FOR_SCRIPTS.test(name)) add("no_httponly", "danger", "HttpOnly is missing", "Every script on the page can read it, one that was smuggled in as well, and take it along.");
  if (takes.sameSite === "None") add("samesite_none", "warn", "SameSite=None: other sites send it along", "Each form and picture on any site comes with this cookie. Your server must tell forged requests by itself.");
  if (takes.sameSite === null) add("no_samesite", "warn", "SameSite is missing", "Chromium takes Lax, but not for the first two minutes of a POST; Firefox and Safari send it from every site. Say Lax.");
  if (takes.domain) add("domain", "warn", `Domain: every host below ${takes.domain} gets it`, "And each of them can set it: a forgotten blog under that name is enough to take it or to plant another. Leave Domain out.");
  if (!/^__(?:host|secure)-/i.test(name)) add("no_prefix", "note", "The name has no prefix", "A name that begins with __Host- is set over https by this very host only, which browsers hold up. Without, a host beside it can plant one.");
  if (takes.path && takes.path !== "/") add("path", "note", `Path=${takes.path} is no protection`, "It only says when the cookie is sent. A page on another path of the host can still reach what that path shows.");
  if (JWT.test(value)) add("jwt", "warn", "There is a JWT in it", "Whoever holds it can read it. If it is a session, signing out must end it on the server, too; the cookie's own end ends nothing.");
  if (/^(?:user|uid|id|name|role|admin|email|session)?[=:]?\d{1,9}$/i.test(value)) add("guessable", "warn", "The value can be guessed", "A number that somebody can count up is no secret. A session's needs 128 random bits.");
  if ((takes.maxAge ?? (takes.expires ?? 0) - now) > MOST_AGE_S) add("too_long", "note", "Longer than 400 days", "Browsers cut it to 400 days.");
  if (cookie.bytes > MOST_BYTES / 2) add("large", "note", `${cookie.bytes.toLocaleString("en")} bytes, with every request`, "Browsers take 4,096; servers often take 8,192 for all headers together, and answer 431 beyond.");
  if (name === "") add("nameless", "warn", "It has no name", "Browsers send the value alone; many servers cannot read that.");
  return worstFirst(found);
}

function oddAttributes({ attributes }) {
  const found = [];
  const seen = new Set();
  for (const { name, key, value, isKnown, isTooLong } of attributes.slice(0, MOST_ATTRIBUTES)) {
    const add = (code, level, title, text) => found.push({ code, level, title, text });
    if (!isKnown) add("unknown", "note", `Browsers do not know “${name}”`, "They skip it. Is it a slip of the pen?");
    if (isTooLong) add("long_attribute", "warn", `${name} is longer than 1,024 bytes`, "Browsers skip such an attribute.");
    if (isKnown && seen.has(key)) add("twice", "warn", `${name} is there twice`, "The later one counts.");
    seen.add(key);
    if (key === "samesite" && !/^(?:none|lax|strict)$/i.test(value)) add("samesite_odd", "warn", `SameSite=${value} means nothing`, "Strict, Lax or None; anything else is as if it were not there.");
    if (key === "max-age" && !/^-?\d+$/.test(value)) add("age_odd", "warn", `Max-Age=${value} is no number`, "Browsers skip it.");
    if ((key === "secure" || key === "httponly") && /^(?:false|0|no|off)$/i.test(value)) add("switched_off", "warn", `${name}=${value} switches it on`, "The name alone counts. Leave it out to have it off.");
  }
  return found;
}

/** What is said of a whole response. */
export function responseFindings({ isResponse, cacheControl, cookies }) {
  if (!isResponse || cookies.length === 0 || /\bno-store\b|\bprivate\b/.test(cacheControl ?? "")) return [];
  return [{ code: "cached", level: "warn", title: cacheControl === null ? "Cache-Control is missing" : `Cache-Control: ${cacheControl}`, text: "A cache in between may keep this response with its cookie, and hand it to the next visitor. Say no-store." }];
}

/** A better line; null for one that deletes. */
export function corrected(cookie, now) {
  const { name, value, takes } = cookie;
  const end = endOf(takes, now);
  if (end !== null && end <= now) return null;
  if (name === "" || cookie.hasControl) return null;
  const isBelow = takes.path !== null && takes.path !== "/";
  const bare = name.replace(/^__(?:host|secure)-/i, "");
  const parts = [`${isBelow ? "__Secure-" : "__Host-"}${bare}=${value}`, `Path=${isBelow ? takes.path : "/"}`, "Secure"];
  if (!FOR_SCRIPTS.test(name)) parts.push("HttpOnly");
  parts.push(`SameSite=${takes.sameSite ?? "Lax"}`);
  if (takes.partitioned) parts.push("Partitioned");
  if (end !== null) parts.push(`Max-Age=${Math.round(end - Math.floor(now))}`);
  return parts.join("; ");
}
