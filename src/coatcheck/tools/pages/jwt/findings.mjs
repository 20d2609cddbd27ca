// What is wrong with a token, or worth knowing, in words, worst first. Pure: *now* is an argument.
//
// Rules: a finding has a stable `code`, a `level` ("danger", "warn", "note"), a `title` and a `text` that says what to
// do about it. What depends on the time is in `timeFindings`, which is asked each second, and so must be cheap.

import { MOMENTS } from "./claims.mjs";
import { member, plain } from "../shared/json.mjs";
import { personal } from "./sensitive.mjs";
import { signatureFindings } from "./signature.mjs";
import { relative, span } from "../shared/time.mjs";

const RANK = { danger: 0, warn: 1, note: 2 };
const TYPES = /^(?:application\/)?(?:jwt|at\+jwt|dpop\+jwt|logout\+jwt|secevent\+jwt|id_token|[\w.-]+\+jwt)$/i;
const MILLISECONDS = 1e11; // as seconds this is the year 5138
const DAY_S = 86_400;
const HOUR_S = 3600;
const DUPLICATES = 10;
/** Where the sizes of tokens usually lie, in bytes. */
export const USUAL = { least: 300, most: 800 };

/** All findings, worst first; of the same level in the order in which they matter. */
export function findings(token, now) {
  return inOrder([...timeFindings(token, now), ...lastingFindings(token)]);
}

/** Worst first. */
export function inOrder(found) {
  return found.toSorted((one, other) => RANK[one.level] - RANK[other.level]);
}

/** What is wrong whenever one looks. */
export function lastingFindings(token) {
  if (token.kind === "jwe") return [...inHeader(token), ...inText(token), ...inSize(token)];
  if (token.kind !== "jws") return [];
  return [
    ...signatureFindings(token),
    ...inHeader(token),
    ...inText(token),
    ...inClaims(token),
    ...personal(token.payload),
    ...inSize(token),
  ];
}

/** What is wrong now. */
export function timeFindings(token, now) {
  if (token.kind !== "jws" || token.payload?.type !== "object") return [];
  const found = [];
  const exp = moment(token, "exp");
  const nbf = moment(token, "nbf");
  const iat = moment(token, "iat");
  if (exp !== null && exp <= now && exp < MILLISECONDS) {
    found.push(danger("expired", `Expired ${relative(exp, now)}`, "Whoever verifies it refuses it. If that seems wrong, compare the clocks of the issuer and of this machine."));
  }
  if (nbf !== null && nbf > now && nbf < MILLISECONDS) {
    found.push(danger("not_yet", `Not valid yet: ${relative(nbf, now)}`, "Its nbf lies ahead. Either it is meant so, or the issuer's clock is ahead of this machine's."));
  }
  if (iat !== null && iat > now + 5 && iat < MILLISECONDS) {
    found.push(warn("iat_ahead", `Made ${relative(iat, now)}, says its iat`, "No token comes from the future: the issuer's clock is ahead of this machine's, or this one is behind."));
  }
  return found;
}

/** The value of a claim that is a moment, or null. */
export function moment(token, name) {
  const node = member(token.payload, name);
  return node?.type === "number" ? node.value : null;
}

function inHeader(token) {
  const found = [];
  const header = plain(token.header);
  for (const name of ["jwk", "jku", "x5u", "x5c"]) {
    if (name in header) found.push(warn("own_key", `Brings its own key along (${name})`, "A verifier that takes a key from the token it is verifying accepts tokens of anybody. Take keys from where you know the issuer keeps them."));
  }
  if ("crit" in header) found.push(warn("crit", "Asks for extensions (crit)", "A verifier that does not know every name listed there must refuse it. Few libraries know any."));
  if (typeof header.kid === "string" && !/^[\w.:=+@/-]{1,200}$/.test(header.kid)) found.push(warn("odd_kid", "An odd kid", "It has characters that no identifier needs. Where kid is put into a file name or a query, this is how one breaks in."));
  if (typeof header.kid === "string" && /\.\.\//.test(header.kid)) found.push(danger("odd_kid", "A kid that climbs folders", "“../” leads to a file of the attacker's choice, where kid is used as a file name."));
  if (token.kind === "jws") found.push(...inType(token, header));
  if (token.kind === "jws" && String(header.cty ?? "").toLowerCase() === "jwt") found.push(note("nested", "Another token is inside (cty)", "Paste the payload to see that one."));
  if (header.b64 === false) found.push(warn("b64", "The payload is not encoded (b64: false)", "RFC 7797. Many libraries do not know it, and must refuse the token for its crit."));
  return found;
}

function inType(token, header) {
  const found = [];
  if (!("typ" in header)) found.push(note("no_typ", "No typ in the header", "So one kind of token may be passed off as another. Access tokens should say at+jwt (RFC 9068)."));
  else if (typeof header.typ !== "string" || !TYPES.test(header.typ)) found.push(warn("odd_typ", "An unusual typ", "It is not the name of a kind of JWT: whoever expects one refuses it."));
  else if (/^jwt$/i.test(header.typ) && (member(token.payload, "scope") || member(token.payload, "client_id"))) {
    found.push(note("typ_jwt", "An access token that says typ JWT only", "RFC 9068 asks for at+jwt, so that no ID token passes for an access token."));
  }
  return found;
}

function inText(token) {
  const found = [];
  for (const part of token.parts) {
    for (const { code } of part.isRaw ? [] : part.base.notes) found.push(deviation(code, part));
    for (const { name, path } of twice(part.json?.duplicates ?? [])) {
      const where = path ? ` within “${short(path)}”` : "";
      found.push(danger("duplicate", `“${short(name)}” comes twice in the ${part.name}${where}`, "Most libraries take the last one, some the first: two programs read two different tokens. RFC 7519 allows to refuse it, and you should."));
    }
    if (part.utf8?.text.startsWith("\ufeff")) found.push(warn("bom", `The ${part.name} begins with a byte order mark`, "JSON has none: strict libraries refuse it."));
  }
  return found;
}

/** Each name once, and not more than anybody reads. */
function twice(duplicates) {
  return [...new Map(duplicates.map((one) => [`${one.path}.${one.name}`, one])).values()].slice(0, DUPLICATES);
}

function deviation(code, part) {
  const [title, text] = {
    alphabet: ["is written with + or /", "That is plain base64. A JWT has base64url, with - and _: strict libraries refuse this one, lenient ones do not."],
    padding: ["has padding (=)", "JOSE has none. Strict libraries refuse it, lenient ones do not, and so the same token has two texts."],
    short_padding: ["has the wrong padding (=)", "JOSE has none at all. Strict libraries refuse it."],
    trailing_bits: ["is not canonical", "Its last letter holds bits that mean nothing: other letters in its place give the same bytes. Strict libraries refuse it; never compare tokens by their text."],
  }[code] ?? ["is not canonical", "Strict libraries refuse it."];
  return warn(`text_${code}`, `The ${part.name} ${title}`, text);
}

function inClaims(token) {
  if (token.parts[1].text === "") return [warn("detached", "No payload in it", "The payload was left out (“detached”, RFC 7515, appendix F): it comes by another way, and must be put in before it is verified.")];
  if (token.payload === null) return [];
  if (token.payload.type !== "object") return [danger("not_object", "The payload is no JSON object", "It may be a JWS, but it is no JWT, which has claims with names.")];
  const claims = plain(token.payload);
  const found = [...inMoments(token)];
  if (!("exp" in claims)) found.push(danger("no_exp", "It never expires (no exp)", "Whoever gets hold of it has it for ever. 5 to 15 minutes are usual for access tokens."));
  if (!("aud" in claims)) found.push(warn("no_aud", "For nobody in particular (no aud)", "A token made for one service is accepted by all others that know the key."));
  else if ([claims.aud].flat().some((one) => one === "*" || one === "")) found.push(warn("any_aud", "For everybody (aud)", "An audience of “*”, or an empty one, keeps nobody out."));
  if (!("iss" in claims)) found.push(warn("no_iss", "From nobody in particular (no iss)", "Whoever verifies it cannot tell which issuer's keys are the right ones."));
  if (!("sub" in claims) && !("client_id" in claims)) found.push(note("no_sub", "About nobody in particular (no sub)", "That may be meant so; an access token has one (RFC 9068)."));
  return found;
}

function inMoments(token) {
  const found = [];
  for (const name of MOMENTS) {
    const node = member(token.payload, name);
    if (!node || node.type === "null") continue;
    if (node.type !== "number") {
      const text = "It must be a number, of seconds since 1970. Some libraries refuse the token; others pass over the claim.";
      found.push((name === "exp" ? danger : warn)("not_a_number", `${name} is no number`, text));
    } else if (Math.abs(node.value) >= MILLISECONDS) {
      found.push((name === "exp" ? danger : warn)("milliseconds", `${name} is in milliseconds`, "JWTs count seconds. Read as seconds it lies thousands of years ahead, so it never comes."));
    } else if (node.value < 0) {
      found.push(warn("negative", `${name} lies before 1970`, "Hardly meant so."));
    }
  }
  return [...found, ...inLife(token)];
}

function inLife(token) {
  const exp = moment(token, "exp");
  const begin = moment(token, "iat") ?? moment(token, "nbf");
  if (exp === null || begin === null || exp >= MILLISECONDS || begin >= MILLISECONDS) return [];
  const life = exp - begin;
  if (life <= 0) return [danger("no_life", "It expires before it begins", "Its exp lies before its iat: it was never valid.")];
  if (life > DAY_S) return [warn("long_life", `It lives for ${span(life)}`, "That is how long a stolen one can be used, and how long a sign-out changes nothing. 5 to 15 minutes are usual, with a refresh token beside it.")];
  if (life > HOUR_S) return [note("long_life", `It lives for ${span(life)}`, "That is how long a sign-out changes nothing, unless each check asks somewhere. 5 to 15 minutes are usual.")];
  return [];
}

function inSize(token) {
  const { size } = token;
  const bytes = size.toLocaleString("en");
  if (size > 8192) return [danger("size", `${bytes} bytes: too long for most servers`, "Headers above 8 KiB are refused by default nearly everywhere, and no cookie holds more than 4 KiB.")];
  if (size > 4096) return [warn("size", `${bytes} bytes: too long for a cookie`, "Browsers drop cookies above 4,096 bytes without a word. It goes with every request, too.")];
  if (size > USUAL.most) return [note("size", `${bytes} bytes: longer than usual`, `Most have ${USUAL.least} to ${USUAL.most}. It goes with every request.`)];
  return [];
}

function short(text) {
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

function danger(code, title, text) {
  return { code, level: "danger", title, text };
}

function warn(code, title, text) {
  return { code, level: "warn", title, text };
}

function note(code, title, text) {
  return { code, level: "note", title, text };
}
