// As much of DER, X.509 and PEM as it takes to get the public key out of a file. Pure.
//
// Rules: read by length, never by guess; anything unexpected is an error with a sentence for people.

import { decode } from "./base64.mjs";

const ALGORITHM_NAMES = {
  "1.2.840.113549.1.1.1": "RSA",
  "1.2.840.113549.1.1.10": "RSA",
  "1.2.840.10045.2.1": "EC",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448",
  "1.3.101.110": "X25519",
};
const CURVES = { "1.2.840.10045.3.1.7": "P-256", "1.3.132.0.34": "P-384", "1.3.132.0.35": "P-521", "1.3.132.0.10": "secp256k1" };
// SEQUENCE { rsaEncryption, NULL }
const RSA_ALGORITHM = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const [SEQUENCE, INTEGER, BIT_STRING, OID, VERSION] = [0x30, 0x02, 0x03, 0x06, 0xa0];

/** What is wrong with a file, for people. */
export class DerError extends Error {}

/** The blocks of a PEM file: `[{ label, bytes }]`. A literal \n, as in environment variables, is a line break. */
export function pemBlocks(text) {
  const blocks = [];
  for (const [, label, body] of text.replaceAll("\\n", "\n").matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g)) {
    const { bytes, fatal } = decode(body.replace(/^[\w-]+:.*$/gm, "").replace(/\s+/g, ""), { alphabet: "standard" });
    if (fatal) throw new DerError(`The ${label.toLowerCase()} is damaged: it is not base64.`);
    blocks.push({ label, bytes });
  }
  if (blocks.length === 0) throw new DerError("The end of the PEM block is missing (-----END …-----), or its two names differ.");
  return blocks;
}

/** One value: `{ tag, start, from, to }`; its content lies between from and to. */
export function readDer(bytes, at = 0, end = bytes.length) {
  if (at + 2 > end) throw new DerError("It ends too early.");
  const tag = bytes[at];
  let length = bytes[at + 1];
  let from = at + 2;
  if (length > 0x80 && length <= 0x84) {
    const digits = length - 0x80;
    length = 0;
    for (let index = 0; index < digits; index += 1) length = length * 256 + (bytes[from + index] ?? 0);
    from += digits;
  } else if (length >= 0x80) throw new DerError("It is no DER.");
  if (from + length > end) throw new DerError("It ends too early.");
  return { tag, start: at, from, to: from + length };
}

/** The values inside a value. */
export function childrenOf(bytes, { from, to }) {
  const found = [];
  for (let at = from; at < to; at = found.at(-1).to) found.push(readDer(bytes, at, to));
  return found;
}

/** The public key of a certificate, as SPKI. */
export function spkiOfCertificate(bytes) {
  const parts = childrenOf(bytes, childrenOf(bytes, expect(readDer(bytes), SEQUENCE))[0]);
  const key = parts[parts[0]?.tag === VERSION ? 6 : 5];
  if (key?.tag !== SEQUENCE) throw new DerError("It is no certificate (X.509).");
  return bytes.slice(key.start, key.to);
}

/** The SPKI of an RSA public key in its own form (PKCS #1). */
export function spkiOfRsa(bytes) {
  return wrap(SEQUENCE, [...RSA_ALGORITHM, ...wrap(BIT_STRING, [0, ...bytes])]);
}

/**
 * What a public key (SPKI) is: `{ kind, curve, bits, spki }`.
 *
 * kind: "RSA", "EC", "Ed25519", … or null. spki: what WebCrypto takes; RSA-PSS keys get the plain name of RSA for it.
 */
export function describeSpki(bytes) {
  const [algorithm, key] = childrenOf(bytes, expect(readDer(bytes), SEQUENCE));
  if (algorithm?.tag !== SEQUENCE || key?.tag !== BIT_STRING) throw new DerError("It is no public key (SPKI).");
  const [name, more] = childrenOf(bytes, algorithm);
  const oid = readOid(bytes, expect(name, OID));
  const kind = ALGORITHM_NAMES[oid] ?? null;
  if (kind === "EC") return { kind, curve: CURVES[more?.tag === OID ? readOid(bytes, more) : ""] ?? null, bits: null, spki: bytes };
  if (kind !== "RSA") return { kind, curve: null, bits: null, spki: bytes };
  const inside = bytes.slice(key.from + 1, key.to);
  const [modulus] = childrenOf(inside, expect(readDer(inside), SEQUENCE));
  return { kind, curve: null, bits: bitsOf(inside.slice(expect(modulus, INTEGER).from, modulus.to)), spki: spkiOfRsa(inside) };
}

/** How many bits a number has, without zeros at its front. */
export function bitsOf(bytes) {
  const first = bytes.findIndex((byte) => byte !== 0);
  return first < 0 ? 0 : (bytes.length - first) * 8 - Math.clz32(bytes[first]) + 24;
}

function expect(value, tag) {
  if (value?.tag !== tag) throw new DerError("It is not what it says it is.");
  return value;
}

function readOid(bytes, { from, to }) {
  const numbers = [];
  let number = 0;
  for (let at = from; at < to; at += 1) {
    number = number * 128 + (bytes[at] & 0x7f);
    if (bytes[at] < 0x80) {
      numbers.push(number);
      number = 0;
    }
  }
  const first = Math.min(2, Math.floor(numbers[0] / 40));
  return [first, numbers[0] - 40 * first, ...numbers.slice(1)].join(".");
}

function wrap(tag, content) {
  const length = content.length;
  const sized = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Uint8Array.from([tag, ...sized, ...content]);
}
