// From the text of a token to its parts, and to the very place where it breaks. Pure.
//
// Rules: what can be read is read, whatever else is broken. A place is an index into the token's text. Nothing is judged
// here (findings.mjs) and nothing verified (verify.mjs).

import { decode } from "../shared/base64.mjs";
import { PROBLEMS, lineAndColumn, member, parse } from "../shared/json.mjs";
import { decodeUtf8, encodeUtf8 } from "../shared/utf8.mjs";
import { recognise } from "./opaque.mjs";

/** Above this nothing is read: no server takes a token of even a hundredth. */
export const LONGEST = 1_048_576;

const JWS_PARTS = ["header", "payload", "signature"];
const JWE_PARTS = ["header", "encrypted key", "initialization vector", "ciphertext", "authentication tag"];

/**
 * What a token is: `{ kind, text, size, parts, header, payload, trouble, what }`.
 *
 * kind: "jws", "jwe", "opaque" (what: in words), "broken" (it has the look of a JWT, and cannot be read as one),
 * "too_long". header and payload: JSON nodes (shared/json.mjs) or null. trouble: the first thing that keeps it from
 * being read, `{ code, part, at, length, say }`, or null.
 */
export function read(token) {
  const size = encodeUtf8(token).bytes.length;
  const made = { kind: "opaque", text: token, size, parts: [], header: null, payload: null, trouble: null, what: null };
  if (token.length > LONGEST) return { ...made, kind: "too_long" };
  const what = recognise(token);
  const pieces = token.split(".");
  if (what !== null || !looksLikeJwt(pieces)) return { ...made, what: what ?? recognise(token, { anything: true }) };
  const isJwe = pieces.length === 5;
  const names = isJwe ? JWE_PARTS : JWS_PARTS;
  let start = 0;
  for (const [index, text] of pieces.entries()) {
    made.parts.push({ name: names[index] ?? `part ${index + 1}`, text, start });
    start += text.length + 1;
  }
  for (const part of made.parts) part.base = decode(part.text);
  const header = readJson(made.parts[0]);
  made.header = header.root;
  const isRaw = member(made.header, "b64")?.value === false; // RFC 7797: the payload as it is
  if (!isJwe && pieces.length > 1) made.payload = readJson(made.parts[1], isRaw).root;
  made.trouble = wrongCount(pieces, token) ?? firstTrouble(made.parts, isJwe, isRaw);
  made.kind = isJwe && made.header ? "jwe" : pieces.length === 3 && made.header ? "jws" : "broken";
  return made;
}

/** The text of the part with the place marked: `{ before, bad, after }`, cut to what fits on a few lines. */
export function excerpt(text, at, length, around = 60) {
  const from = Math.max(0, at - around);
  const to = at + Math.max(length, 1);
  return {
    before: (from > 0 ? "…" : "") + text.slice(from, at),
    bad: text.slice(at, to),
    after: text.slice(to, to + around) + (text.length > to + around ? "…" : ""),
  };
}

function looksLikeJwt(pieces) {
  const first = pieces[0];
  if (pieces.length === 3 || pieces.length === 5) {
    if (/^e[yw]/.test(first)) return true;
    // Three words with dots between may be a host name. Parts of a JWT are longer, and one of them has a JSON object.
    return first.length >= 16 && pieces[1].length >= 8 && /^[\w+/=-]+$/.test(first);
  }
  return /^e[yw][\w-]{8,}/.test(first) && decodeUtf8(decode(first).bytes).text.trimStart().startsWith("{");
}

function readJson(part, isRaw = false) {
  part.utf8 = isRaw ? { text: part.text, bad: null } : decodeUtf8(part.base.bytes);
  part.isRaw = isRaw;
  part.json = parse(part.utf8.text);
  if (part.json.root && part.base.fatal && !isRaw) part.json = { ...part.json, root: null };
  if (part.utf8.bad !== null) part.json = { ...part.json, root: null };
  return part.json;
}

function wrongCount(pieces, token) {
  if (pieces.length === 3 || pieces.length === 5) return null;
  const words = pieces.length === 1 ? "one part and no dot" : `${pieces.length} parts`;
  const missing = pieces.length === 2 ? " The signature is missing." : "";
  const at = pieces.length > 3 ? pieces.slice(0, 3).join(".").length : token.length;
  const say = `This has ${words}; a JWT has three, with dots between: header, payload, signature.${missing}`;
  return { code: "parts", part: pieces.length > 3 ? 3 : pieces.length - 1, at, length: pieces.length > 3 ? 1 : 0, say };
}

function firstTrouble(parts, isJwe, isRaw) {
  const hold = isJwe ? [0] : [0, 1];
  for (const [index, part] of parts.entries()) {
    const trouble =
      (index === 1 && isRaw ? null : badLetter(part)) ??
      (hold.includes(index) && !(index === 1 && part.text === "") ? badText(part) : null);
    if (trouble) return { part: index, ...trouble };
  }
  return null;
}

function badLetter(part) {
  const { fatal } = part.base;
  if (!fatal) return null;
  const where = `at character ${fatal.at + 1} of the ${part.name}`;
  const at = part.start + fatal.at;
  const code = part.text.charCodeAt(fatal.at).toString(16).toUpperCase().padStart(4, "0");
  const say = {
    character: `U+${code} ${where} is no letter of base64url.`,
    after_padding: `The ${part.name} goes on after its padding, ${where}.`,
    length: `The ${part.name} ends one letter too early or too late: ${part.text.length} letters are no whole number of bytes. Was something cut off when it was copied?`,
    padding_length: `The ${part.name} ends with too many "=".`,
  }[fatal.code];
  return { code: `base64_${fatal.code}`, at, length: 1, say };
}

function badText(part) {
  const { utf8, json } = part;
  if (part.text === "") return { code: "empty", at: part.start, length: 0, say: `The ${part.name} is empty.` };
  if (utf8.bad !== null) {
    const hex = part.base.bytes[utf8.bad].toString(16).padStart(2, "0");
    const say = `The ${part.name} is base64url, but byte ${utf8.bad + 1} of what it stands for (0x${hex}) is no UTF-8 text.`;
    return { code: "utf8", at: part.start + letterOf(utf8.bad), length: 2, say };
  }
  if (!json.problem) return null;
  const { line, column } = lineAndColumn(utf8.text, json.problem.at);
  const place = line > 1 ? `line ${line}, column ${column}` : `character ${column}`;
  const bytes = part.isRaw ? json.problem.at : encodeUtf8(utf8.text.slice(0, json.problem.at)).bytes.length;
  const letter = part.isRaw ? bytes : Math.min(letterOf(bytes), Math.max(0, part.text.length - 1));
  return {
    code: `json_${json.problem.code}`,
    at: part.start + letter,
    length: part.isRaw ? 1 : 2,
    say: `The ${part.name} is text, but no JSON: ${PROBLEMS[json.problem.code]} (${place}).`,
    json: { text: utf8.text, at: json.problem.at },
  };
}

/** The index of the letter of base64 in which a byte begins. */
function letterOf(byte) {
  return Math.floor((byte * 4) / 3);
}
