// What stands in a certificate: for whom, from whom, how long. Pure: *now* is an argument.
//
// Rules: read only, never verified, and it says so. What is no certificate is an error.

import { DerError, childrenOf, describeSpki, readDer, spkiOfCertificate } from "../shared/der.mjs";
import { relative, utc } from "../shared/time.mjs";
import { decodeUtf8 } from "../shared/utf8.mjs";

const NAMES = { "55.4.3": "CN", "55.4.6": "C", "55.4.10": "O", "55.4.11": "OU" };
const [UTC_TIME, BMP_STRING, VERSION] = [0x17, 0x1e, 0xa0];

/** `{ say, facts }` of a certificate; facts are rows of `[name, text]`. */
export function readCertificate(bytes, now) {
  const parts = childrenOf(bytes, childrenOf(bytes, readDer(bytes))[0]);
  const [serial, , issuer, validity, subject] = parts[0]?.tag === VERSION ? parts.slice(1) : parts;
  const key = describeSpki(spkiOfCertificate(bytes));
  const [from, until] = childrenOf(bytes, validity).map((one) => moment(bytes, one));
  const names = [nameOf(bytes, subject), nameOf(bytes, issuer)];
  const say = now < from ? `Not valid yet: ${relative(from, now)}.` : now > until ? `Expired ${relative(until, now)}.` : `Valid until ${utc(until)}, ${relative(until, now)}.`;
  return {
    say: `${say} Nobody verified it here.`,
    facts: [
      ["For", names[0]],
      ["From", names[0] === names[1] ? `${names[1]} (itself)` : names[1]],
      ["Valid from", utc(from)],
      ["Valid until", utc(until)],
      ["Public key", [key.kind, key.curve, key.bits && `${key.bits} bits`].filter(Boolean).join(", ")],
      ["Serial number", Array.from(bytes.slice(serial.from, Math.min(serial.to, serial.from + 40)), (byte) => byte.toString(16).padStart(2, "0")).join(":")],
    ],
  };
}

function nameOf(bytes, name) {
  const found = childrenOf(bytes, name).flatMap((set) => childrenOf(bytes, set)).map((pair) => {
    const [oid, value] = childrenOf(bytes, pair);
    const key = Array.from(bytes.slice(oid.from, oid.to), (byte) => byte.toString(16)).join(".").replace(/^55\.4\.(\w+)$/, (_, last) => `55.4.${Number.parseInt(last, 16)}`);
    return `${NAMES[key] ?? "…"}=${stringOf(bytes.slice(value.from, value.to), value.tag)}`;
  });
  return found.length ? found.join(", ") : "nobody in particular";
}

function stringOf(raw, tag) {
  return tag === BMP_STRING ? new TextDecoder("utf-16be").decode(raw) : decodeUtf8(raw).text;
}

function moment(bytes, { tag, from, to }) {
  const text = String.fromCharCode(...bytes.slice(from, Math.min(to, from + 20)));
  const found = /^(\d{2}|\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (!found) throw new DerError("It has no time.");
  const [year, ...rest] = found.slice(1).map(Number);
  const whole = tag === UTC_TIME ? year + (year < 50 ? 2000 : 1900) : year;
  return Date.UTC(whole, rest[0] - 1, ...rest.slice(1)) / 1000;
}
