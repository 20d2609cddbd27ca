// What bytes most likely are: a picture, a certificate, JSON, a token, a text. Pure: *now* is an argument.
//
// Rules: told by what is in them, never by what a data: address says. A guess says that it is one.

import { decode } from "../shared/base64.mjs";
import { parse, pretty } from "../shared/json.mjs";
import { decodeUtf8 } from "../shared/utf8.mjs";
import { readCertificate } from "./certificate.mjs";
import { describeSpki } from "../shared/der.mjs";

const MAGIC = [
  ["png", "89504e470d0a1a0a", "A PNG picture", "image/png"],
  ["jpg", "ffd8ff", "A JPEG picture", "image/jpeg"],
  ["gif", "474946383761", "A GIF picture", "image/gif"],
  ["gif", "474946383961", "A GIF picture", "image/gif"],
  ["webp", "52494646????????57454250", "A WebP picture", "image/webp"],
  ["avif", "????????6674797061766966", "An AVIF picture", "image/avif"],
  ["ico", "00000100", "An icon", "image/x-icon"],
  ["bmp", "424d", "A BMP picture", "image/bmp"],
  ["pdf", "255044462d", "A PDF document", null],
  ["zip", "504b0304", "A ZIP archive", null],
  ["gz", "1f8b08", "Compressed with gzip", null],
  ["p12", "3082????020103", "A PKCS #12 file", null],
];
const LENGTHS = {
  16: "16 bytes: as long as a UUID, an MD5 sum, or a key of 128 bits.",
  20: "20 bytes: as long as a SHA-1 sum.",
  32: "32 bytes: as long as a SHA-256 sum, or a key or session token of 256 bits.",
  48: "48 bytes: as long as a SHA-384 sum.",
  64: "64 bytes: as long as a SHA-512 sum, or an Ed25519 or ES256 signature.",
  256: "256 bytes: as long as an RSA signature with 2048 bits.",
};

/**
 * `{ kind, title, text, extension }`, and where it applies `mime` (a picture that can be shown), `laidOut` (JSON with
 * line breaks) or `facts` (rows of a certificate).
 */
export function recognise(bytes, now, { isBasic = false } = {}) {
  if (bytes.length === 0) return { kind: "empty", title: "Nothing", text: "No byte is in it.", extension: "bin" };
  const { text, bad } = decodeUtf8(bytes);
  return byMagic(bytes) ?? (bad === null ? inText(text, isBasic) : inBytes(bytes, now));
}

function byMagic(bytes) {
  for (const [extension, magic, title, mime] of MAGIC) {
    const isIt = magic.match(/../g).every((pair, index) => pair === "??" || bytes[index] === Number.parseInt(pair, 16));
    if (!isIt || (extension === "bmp" && bytes.length < 54) || (extension === "bmp" && bytes[6] + bytes[7] + bytes[8] + bytes[9] > 0)) continue;
    const size = mime ? sizeOf(extension, bytes) : null;
    return { kind: mime ? "picture" : extension, title, text: size ? `${size[0]} × ${size[1]} pixels.` : "", extension, ...(mime ? { mime } : {}) };
  }
  return null;
}

function sizeOf(extension, bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (extension === "png" && bytes.length >= 24) return [view.getUint32(16), view.getUint32(20)];
  if (extension === "gif" && bytes.length >= 10) return [view.getUint16(6, true), view.getUint16(8, true)];
  if (extension === "jpg") return sizeOfJpeg(bytes, view);
  return null;
}

function sizeOfJpeg(bytes, view) {
  for (let at = 2; at + 9 < bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) return [view.getUint16(at + 7), view.getUint16(at + 5)];
  }
  return null;
}

function inText(text, isBasic) {
  const trimmed = text.trim();
  const start = trimmed.slice(0, 200);
  if (isBasic && text.includes(":")) return { kind: "basic", title: "A user name and a password", text: "What stands before the first colon is the name. Base64 hides nothing: whoever sees this header has the password.", extension: "txt" };
  if (/^[{[]/.test(start)) return inJson(text);
  if (/^eyJ[\w-]+\.[\w-]+\.[\w-]*$/.test(trimmed)) return { kind: "jwt", title: "A JWT", text: "The JWT decoder reads it.", extension: "txt" };
  if (/^-----BEGIN [A-Z0-9 ]+-----/.test(start)) return inPem(start);
  if (/^<svg\b|^<\?xml[^>]*>\s*<svg\b/.test(start)) return { kind: "svg", title: "An SVG picture", text: "It is a text, and may hold scripts: it is not drawn here.", extension: "svg" };
  if (/^(?:<\?xml[^>]*>\s*)?<(?:\w+:)?(?:Response|AuthnRequest|LogoutRe\w+|Assertion)\b/.test(start)) return { kind: "saml", title: "A SAML message", text: "XML. Its signature is not verified here.", extension: "xml" };
  if (/^<\?xml|^<[a-z!]/i.test(start)) return { kind: "markup", title: "XML or HTML", text: "Shown as text, never as a page.", extension: "txt" };
  if (isBase64Again(trimmed)) return { kind: "base64", title: "Base64 once more, perhaps", text: "What is in it looks like base64, too. Copy it and paste it above.", extension: "txt" };
  return { kind: "text", title: "Text", text: `UTF-8, ${counted([...text].length, "character")}.`, extension: "txt" };
}

function inJson(text) {
  const { root, problem } = parse(text);
  if (problem) return { kind: "text", title: "Text that begins like JSON", text: `It is none: it breaks at character ${problem.at + 1}.`, extension: "txt" };
  const laidOut = pretty(root);
  const isHeader = root.type === "object" && root.members.some(({ name }) => name === "alg");
  const hint = isHeader ? "It looks like the header of a JWT, or a key." : "";
  return { kind: "json", title: "JSON", text: hint, extension: "json", ...(laidOut === null ? {} : { laidOut }) };
}

function inPem(start) {
  const label = /^-----BEGIN ([A-Z0-9 ]+)-----/.exec(start)[1].toLowerCase();
  const isPrivate = label.includes("private");
  return { kind: isPrivate ? "private_key" : "pem", title: `A PEM block: ${label}`, text: isPrivate ? "A private key: whoever has it can sign as its owner." : "Its content is base64, too: copy it and paste it above.", extension: "pem" };
}

function isBase64Again(text) {
  if (text.length < 24 || !/^[\w+/-]+={0,2}$/.test(text) || !/[A-Z]/.test(text) || !/[a-z]/.test(text) || !/\d/.test(text)) return false;
  const { bytes, fatal, notes } = decode(text, { alphabet: "either" });
  return !fatal && notes.length === 0 && decodeUtf8(bytes).bad === null;
}

function inBytes(bytes, now) {
  const certificate = tried(() => readCertificate(bytes, now));
  if (certificate) return { kind: "certificate", title: "A certificate (X.509)", text: certificate.say, facts: certificate.facts, extension: "cer" };
  const key = tried(() => describeSpki(bytes));
  if (key) return { kind: "public_key", title: "A public key (SPKI)", text: [key.kind ?? "of an unknown kind", key.curve, key.bits && `${key.bits} bits`].filter(Boolean).join(", "), extension: "der" };
  if (bytes[0] === 0x30 && isPkcs8(bytes)) return { kind: "private_key", title: "A private key (PKCS #8)", text: "Whoever has it can sign as its owner. If it was shown to anybody, replace it.", extension: "der" };
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) return { kind: "utf16", title: "Text in UTF-16", text: "Windows PowerShell writes it, for instance with -EncodedCommand.", extension: "txt" };
  if (isUtf16(bytes)) return { kind: "utf16", title: "Text in UTF-16, perhaps", text: "Every other byte is zero. Windows PowerShell writes such, for instance for -EncodedCommand.", extension: "txt" };
  return { kind: "bytes", title: "Bytes", text: LENGTHS[bytes.length] ?? `${counted(bytes.length, "byte")} that are no text, and nothing this page knows.`, extension: "bin" };
}

function isUtf16(bytes) {
  if (bytes.length < 6 || bytes.length % 2) return false;
  const sample = bytes.subarray(0, 400);
  return sample.every((byte, index) => (index % 2 ? byte === 0 : byte !== 0));
}

/** SEQUENCE { INTEGER 0 or 1, SEQUENCE { OID … } … } */
function isPkcs8(bytes) {
  const at = bytes[1] < 0x80 ? 2 : 2 + (bytes[1] & 0x7f);
  return bytes[at] === 2 && bytes[at + 1] === 1 && bytes[at + 2] < 2 && bytes[at + 3] === 0x30 && bytes[at + 5] === 6;
}

function tried(work) {
  try {
    return work();
  } catch {
    return null;
  }
}

function counted(count, unit) {
  return `${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`;
}
