// Hex. Pure.

/** Bytes as hex, with *between* between them. */
export function encodeHex(bytes, between = "") {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(between);
}

/** The bytes of a hex text, `{ bytes, fatal }`; blanks, colons and a 0x at the start are passed over. fatal: as in base64.mjs. */
export function decodeHex(text) {
  const start = /^\s*0x/i.exec(text)?.[0].length ?? 0;
  const digits = [];
  for (let at = start; at < text.length; at += 1) {
    if (/[\s:]/.test(text[at])) continue;
    const worth = "0123456789abcdef".indexOf(text[at].toLowerCase());
    if (worth < 0) return { bytes: pairs(digits), fatal: { code: "character", at } };
    digits.push(worth);
  }
  return { bytes: pairs(digits), fatal: digits.length % 2 ? { code: "length", at: text.length - 1 } : null };
}

function pairs(digits) {
  const bytes = new Uint8Array(Math.floor(digits.length / 2));
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = digits[2 * at] * 16 + digits[2 * at + 1];
  return bytes;
}
