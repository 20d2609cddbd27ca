// UTF-8, exactly as Unicode defines it (table 3-7). Pure.
//
// Rules: the first byte that belongs to no character is named; overlong forms, surrogates and what lies above U+10FFFF
// are none. A byte order mark is kept: it is part of the text.

// For each first byte from `from` to `to`: how many follow, and what the first of these may be.
const FORMS = [
  { from: 0xc2, to: 0xdf, more: 1, least: 0x80, most: 0xbf },
  { from: 0xe0, to: 0xe0, more: 2, least: 0xa0, most: 0xbf },
  { from: 0xe1, to: 0xec, more: 2, least: 0x80, most: 0xbf },
  { from: 0xed, to: 0xed, more: 2, least: 0x80, most: 0x9f },
  { from: 0xee, to: 0xef, more: 2, least: 0x80, most: 0xbf },
  { from: 0xf0, to: 0xf0, more: 3, least: 0x90, most: 0xbf },
  { from: 0xf1, to: 0xf3, more: 3, least: 0x80, most: 0xbf },
  { from: 0xf4, to: 0xf4, more: 3, least: 0x80, most: 0x8f },
];

/** The text of these bytes, `{ text, bad }`. bad: null, or the index of the first byte that is no UTF-8. */
export function decodeUtf8(bytes) {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return { text, bad: firstBad(bytes) };
}

/** The bytes of a text, `{ bytes, lone }`. lone: null, or the index of the first half of a surrogate pair. */
export function encodeUtf8(text) {
  const found = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.exec(text);
  return { bytes: new TextEncoder().encode(text), lone: found ? found.index : null };
}

function firstBad(bytes) {
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] < 0x80) {
      at += 1;
      continue;
    }
    const form = FORMS.find((one) => bytes[at] >= one.from && bytes[at] <= one.to);
    if (!form || at + form.more >= bytes.length) return at;
    if (bytes[at + 1] < form.least || bytes[at + 1] > form.most) return at;
    for (let next = 2; next <= form.more; next += 1) {
      if (bytes[at + next] < 0x80 || bytes[at + next] > 0xbf) return at;
    }
    at += form.more + 1;
  }
  return null;
}
