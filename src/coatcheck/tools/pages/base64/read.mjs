// From what somebody pasted to bytes, and what is to be said about the text. Pure.
//
// Rules: what stands around the base64 is taken off and told; places are indexes into the text as it was pasted. Nothing
// is guessed: what leaves no single meaning is `fatal`, as in shared/base64.mjs.

import { decode, encode } from "../shared/base64.mjs";

// What can stand around it: the name, the beginning, and the end, which may be missing.
const FRAMES = [
  ["a data: address", /^data:[^,]{0,200};base64,/i, /$/],
  ["the lines of a PEM block", /^-----BEGIN [A-Z0-9 ]{1,64}-----/, /-----END [A-Z0-9 ]{1,64}-----\s*$/],
  ["an encoded word of a mail header", /^=\?[\w-]{1,40}\?b\?/i, /\?=\s*$/],
  ["the name of a header, and “Basic”", /^(?:(?:proxy-)?authorization:\s*)?basic\s+/i, /$/],
  ["quotes", /^"/, /"\s*[,;]?$/],
  ["quotes", /^'/, /'\s*[,;]?$/],
  ["quotes", /^`/, /`\s*[,;]?$/],
];
const ENDS_WITHIN = 200;

/**
 * `{ bytes, fatal, notes, alphabet, padding, wanted, letters, taken, mime, lines }` of a text.
 *
 * alphabet: "standard", "url", "mixed", or "any" if no letter tells. padding, wanted: how many = there are, and belong
 * there. taken: what was taken off, in words. mime: what a data: address says. lines: lengths of lines, the longest first.
 */
export function readBase64(pasted) {
  const { start, end, taken, mime } = unframed(pasted);
  const text = pasted.slice(start, end);
  const letters = text.replace(/\s+/g, "");
  const lines = text.trim() === "" ? [] : text.trim().split(/\r?\n/).map((line) => line.trim().length);
  if (letters.length < text.trim().length) taken.push(lines.length > 1 ? "line breaks" : "blanks");
  const { bytes, fatal, notes } = decode(letters, { alphabet: "either" });
  const there = letters.length - letters.replace(/=+$/, "").length;
  const place = (at) => placeIn(pasted, start, at);
  return {
    bytes, taken, mime, letters: letters.length, padding: there, wanted: (4 - ((letters.length - there) % 4)) % 4,
    fatal: fatal && { code: fatal.code, at: place(fatal.at) },
    notes: notes.map(({ code, at }) => ({ code, at: place(at) })),
    alphabet: alphabetOf(letters),
    lines: [...new Set(lines)].toSorted((one, other) => other - one).slice(0, 3),
  };
}

/** Bytes as base64 in lines of this length; 0 is one line. */
export function writeBase64(bytes, { alphabet, padding, line = 0 }) {
  const text = encode(bytes, { alphabet, padding });
  return line > 0 ? (text.match(new RegExp(`.{1,${line}}`, "g")) ?? []).join("\n") : text;
}

function unframed(pasted) {
  let start = pasted.length - pasted.trimStart().length;
  let end = pasted.trimEnd().length;
  const taken = [];
  let mime = null;
  for (const [name, opens, closes] of FRAMES) {
    const open = opens.exec(pasted.slice(start, Math.min(end, start + 300)));
    const tail = Math.max(start + (open?.[0].length ?? 0), end - ENDS_WITHIN);
    const close = open && closes.exec(pasted.slice(tail, end));
    if (!close) continue;
    if (name.startsWith("a data")) mime = /^data:([\w.+-]+\/[\w.+-]+)/i.exec(open[0])?.[1].toLowerCase() ?? "text/plain";
    start += open[0].length;
    const firstEnd = name.includes("PEM") ? pasted.indexOf("-----END", start) : -1;
    end = firstEnd < 0 ? tail + close.index : firstEnd;
    taken.push(firstEnd >= 0 && firstEnd < tail + close.index ? `${name}, and the blocks after it` : name);
  }
  return { start, end: Math.max(start, end), taken, mime };
}

function alphabetOf(letters) {
  const isStandard = /[+/]/.test(letters);
  const isUrl = /[-_]/.test(letters);
  return isStandard && isUrl ? "mixed" : isStandard ? "standard" : isUrl ? "url" : "any";
}

/** Where the letter with this number, blanks not counted, stands in what was pasted. */
function placeIn(pasted, start, number) {
  let left = number;
  for (let at = start; at < pasted.length; at += 1) {
    if (/\s/.test(pasted[at])) continue;
    if (left === 0) return at;
    left -= 1;
  }
  return pasted.length;
}
