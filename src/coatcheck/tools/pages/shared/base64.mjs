// Base64, both alphabets, exact about every deviation. Pure: no document, no clock.
//
// Rules: what can be read is read and what is odd about it is said; `fatal` is the first thing that leaves no single
// meaning. Places are indexes into the text as it was given.

const STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`;
const WORTH = new Int8Array(128).fill(-1);
for (let index = 0; index < 64; index += 1) {
  WORTH[STANDARD.charCodeAt(index)] = index;
  WORTH[URL_SAFE.charCodeAt(index)] = index;
}
const PAD = 61;

/** Bytes as base64: `alphabet` "url" or "standard", with or without padding. */
export function encode(bytes, { alphabet = "url", padding = alphabet === "standard" } = {}) {
  const letters = alphabet === "url" ? URL_SAFE : STANDARD;
  const parts = [];
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const left = bytes.length - at;
    const group = (bytes[at] << 16) | ((left > 1 ? bytes[at + 1] : 0) << 8) | (left > 2 ? bytes[at + 2] : 0);
    text += letters[group >> 18] + letters[(group >> 12) & 63];
    text += left > 1 ? letters[(group >> 6) & 63] : padding ? "=" : "";
    text += left > 2 ? letters[group & 63] : padding ? "=" : "";
    if (text.length > 8192) {
      parts.push(text);
      text = "";
    }
  }
  return parts.join("") + text;
}

/**
 * The bytes of a base64 text: `{ bytes, fatal, notes }`.
 *
 * `alphabet`: "url", "standard" or "either". fatal: null, or `{ code, at }` with code "character", "length" or
 * "after_padding"; bytes then holds what came before. notes, `{ code, at }`: "alphabet" (a letter of the other one),
 * "padding" (there, though base64url has none in JOSE), "no_padding" (missing in the standard form), "short_padding",
 * "trailing_bits" (the last letter says more than the bytes do: another text means the same), "mixed" (both alphabets).
 */
export function decode(text, { alphabet = "url" } = {}) {
  const notes = [];
  let end = text.length;
  while (end > 0 && text.charCodeAt(end - 1) === PAD) end -= 1;
  const letters = firstBad(text, end);
  const fatal = whatIsFatal(text, end, letters);
  const used = fatal ? Math.min(letters, end) : end;
  const bytes = readBytes(text, used);
  noteAlphabet(text, used, alphabet, notes);
  if (!fatal) {
    notePadding(text, end, alphabet, notes);
    const spare = used % 4 === 2 ? 15 : used % 4 === 3 ? 3 : 0;
    if (spare && WORTH[text.charCodeAt(used - 1)] & spare) notes.push({ code: "trailing_bits", at: used - 1 });
  }
  return { bytes, fatal, notes };
}

function firstBad(text, end) {
  for (let at = 0; at < end; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 127 || WORTH[code] < 0) return at;
  }
  return end;
}

function whatIsFatal(text, end, bad) {
  if (bad < end) return { code: text.charCodeAt(bad) === PAD ? "after_padding" : "character", at: bad };
  if (end % 4 === 1) return { code: "length", at: end - 1 };
  if (text.length - end > 2 || (text.length > end && end % 4 === 0)) return { code: "padding_length", at: end };
  return null;
}

function readBytes(text, used) {
  const bytes = new Uint8Array(Math.floor((used * 3) / 4));
  let at = 0;
  let bits = 0;
  let held = 0;
  for (let index = 0; index < used; index += 1) {
    held = ((held << 6) | WORTH[text.charCodeAt(index)]) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at] = (held >> bits) & 255;
      at += 1;
    }
  }
  return bytes;
}

function noteAlphabet(text, used, alphabet, notes) {
  let urlSafe = -1;
  let standard = -1;
  for (let at = 0; at < used && (urlSafe < 0 || standard < 0); at += 1) {
    const letter = text[at];
    if (urlSafe < 0 && (letter === "-" || letter === "_")) urlSafe = at;
    if (standard < 0 && (letter === "+" || letter === "/")) standard = at;
  }
  if (alphabet === "url" && standard >= 0) notes.push({ code: "alphabet", at: standard });
  if (alphabet === "standard" && urlSafe >= 0) notes.push({ code: "alphabet", at: urlSafe });
  if (alphabet === "either" && urlSafe >= 0 && standard >= 0) notes.push({ code: "mixed", at: Math.max(urlSafe, standard) });
}

function notePadding(text, end, alphabet, notes) {
  const there = text.length - end;
  const wanted = (4 - (end % 4)) % 4;
  if (there > 0 && there !== wanted) notes.push({ code: "short_padding", at: end });
  else if (there > 0 && alphabet === "url") notes.push({ code: "padding", at: end });
  else if (there === 0 && wanted > 0 && alphabet === "standard") notes.push({ code: "no_padding", at: end });
}
