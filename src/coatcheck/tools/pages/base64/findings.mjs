// What is odd about a base64 text, or about what is in it, in words, worst first. Pure.
//
// Rules: a finding says what a strict reader does with it, and what to do.

import { worstFirst } from "../shared/findings.mjs";

const SEEN = /^[\x21-\x7e]$/;

/** Findings about a text that was read by `readBase64`. */
export function textFindings(read, pasted) {
  const found = read.fatal ? [broken(read.fatal, pasted)] : [];
  for (const note of read.notes) found.push(odd(note, read));
  if (!read.fatal && read.padding === 0 && read.wanted > 0) {
    found.push({ code: "no_padding", level: "note", title: "It has no padding", text: `${"=".repeat(read.wanted)} would belong at its end. Python's base64 and other strict readers refuse it without; JWTs and many addresses leave it off on purpose.` });
  }
  return worstFirst(found);
}

/** Findings about bytes: *utf8* is what `decodeUtf8` says of them. */
export function byteFindings(bytes, utf8) {
  const found = [];
  if (utf8.bad !== null) {
    const byte = bytes[utf8.bad].toString(16).padStart(2, "0").toUpperCase();
    found.push({ code: "not_utf8", level: "note", title: `It is no UTF-8: byte ${(utf8.bad + 1).toLocaleString("en")} of ${bytes.length.toLocaleString("en")} (${byte}) begins no character`, text: "So it is no text, or a text in another encoding. As hex it can be read and changed without loss." });
    return found;
  }
  if (utf8.text.startsWith("\ufeff")) found.push({ code: "bom", level: "note", title: "It begins with a byte order mark", text: "EF BB BF. It is kept. JSON must have none, and scripts often stumble over it." });
  const returns = utf8.text.split("\r").length - 1;
  if (returns > 0) found.push({ code: "returns", level: "note", title: `It has ${returns.toLocaleString("en")} carriage ${returns === 1 ? "return" : "returns"} (0D)`, text: "A text field keeps none: as soon as you change the text here, they are gone. Change it as hex to keep them." });
  if (/^[^\n]+\r?\n$/.test(utf8.text)) found.push({ code: "last_break", level: "warn", title: "It ends with a line break", text: "That is how “echo secret | base64” goes wrong: the line break becomes a part of the secret. “printf %s” or “echo -n” leaves it off." });
  return found;
}

/** A finding about half a character in a text that was typed. */
export function loneFinding(at) {
  return { code: "lone", level: "danger", title: `Character ${at + 1} is half a character`, text: "A single surrogate has no UTF-8. It became U+FFFD (EF BF BD), as browsers do it." };
}

/** A finding about hex that is none. */
export function hexFinding({ code, at }, text) {
  if (code === "length") return { code: "hex_length", level: "danger", title: "A hex digit is missing", text: "Two make a byte. The last one was left out." };
  return { code: "hex_character", level: "danger", title: `${named(text, at)} is no hex digit`, text: `It is character ${at + 1}. What stands before it was read.` };
}

function broken({ code, at }, pasted) {
  const place = `character ${(at + 1).toLocaleString("en")}`;
  const level = "danger";
  if (code === "length") return { code, level, title: "A letter is missing, or one is too many", text: `Without padding no base64 has 4n + 1 letters. The last one (${place}) was left out; most likely the text was cut while it was copied.` };
  if (code === "padding_length") return { code, level, title: "It has too much padding", text: `From ${place} on there are more = than can be. What stands before was read; strict readers refuse it.` };
  if (code === "after_padding") return { code, level, title: "It goes on after its padding", text: `After ${place} (=) there is more. These may be several texts, one after another: decode each by itself. What stands before was read.` };
  const isPercent = pasted[at] === "%";
  return {
    code, level, title: `${named(pasted, at)} does not belong here`,
    text: `It is ${place}. What stands before it was read. ${isPercent ? "It is percent-encoded, as in an address: %2B is +, %2F is /, %3D is =." : "Some readers skip such letters, others refuse the text: two programs may read two different things."}`,
  };
}

function odd({ code, at }, read) {
  if (code === "mixed") return { code, level: "warn", title: "It has letters of both alphabets", text: `From character ${at + 1} on: + and / are of the standard one, - and _ of the URL-safe one. No encoder writes that; strict readers refuse it.` };
  if (code === "short_padding") return { code, level: "warn", title: "Its padding is wrong", text: `It has ${read.padding} =, and ${read.wanted} ${read.wanted === 1 ? "belongs" : "belong"} there. Strict readers refuse it.` };
  return { code: "trailing_bits", level: "warn", title: "It is not canonical", text: "Its last letter holds bits that mean nothing: other letters in its place give the same bytes. Strict readers refuse it, lenient ones do not; so never compare such texts, compare bytes." };
}

function named(text, at) {
  const letter = String.fromCodePoint(text.codePointAt(at) ?? 0xfffd);
  const code = `U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
  return SEEN.test(letter) ? `“${letter}” (${code})` : code;
}
