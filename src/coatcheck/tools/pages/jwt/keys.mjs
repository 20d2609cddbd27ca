// From what somebody pasted as a key to keys that can be tried. Pure.
//
// Rules: a key is of one kind, and a secret is never made of something that is a public key: that is the confusion by
// which tokens are forged. A private key is refused, in words, before anything is done with it.

import { decode } from "../shared/base64.mjs";
import { DerError, bitsOf, describeSpki, pemBlocks, spkiOfCertificate, spkiOfRsa } from "../shared/der.mjs";
import { decodeHex } from "../shared/hex.mjs";
import { parse, plain } from "../shared/json.mjs";
import { encodeUtf8 } from "../shared/utf8.mjs";

const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/**
 * `{ keys, problem, notes, source }`. problem: a sentence, and keys is empty; or null. notes: sentences.
 *
 * A key: `{ kind, bytes | jwk, form, kid, alg, use, bits }`; kind is "oct", "RSA", "EC P-256", "Ed25519", … and form
 * "raw", "spki" or "jwk". source: "secret", "pem", "jwk", "jwks".
 *
 * *format*: how to read a secret: "text", "base64", "base64url" or "hex". *isSecret*: whether the token wants one.
 */
export function readKeys(text, { format = "text", isSecret = false } = {}) {
  const trimmed = text.trim();
  try {
    if (trimmed.includes("-----BEGIN")) return fromPem(trimmed);
    if (/^[{[]/.test(trimmed)) return fromJson(trimmed);
    if (/^(?:ssh-|ecdsa-sha2-)/.test(trimmed)) return wrong("This is a key in the form of SSH. “ssh-keygen -e -m PKCS8 -f FILE.pub” writes it as PEM.");
    if (/^https?:\/\//.test(trimmed)) return wrong("This is an address, and this page asks nobody. Open it yourself, and paste what is there.");
    if (!isSecret && /^MI[A-Za-z0-9+/\s]{60,}={0,2}$/.test(trimmed)) return fromBareDer(trimmed);
    return fromSecret(text, format);
  } catch (error) {
    if (error instanceof DerError) return wrong(`This key cannot be read. ${error.message}`);
    throw error;
  }
}

function wrong(problem, source = null) {
  return { keys: [], problem, notes: [], source };
}

function fromPem(text) {
  const blocks = pemBlocks(text).filter(({ label }) => label !== "EC PARAMETERS");
  if (blocks.some(({ label }) => label.endsWith("PRIVATE KEY"))) {
    return wrong("This is a private key. It is not needed here, and should be pasted nowhere. Its public half: “openssl pkey -in FILE -pubout”.", "pem");
  }
  const keys = [];
  for (const { label, bytes } of blocks) {
    if (label === "PUBLIC KEY") keys.push(fromSpki(bytes));
    else if (label === "RSA PUBLIC KEY") keys.push(fromSpki(spkiOfRsa(bytes)));
    else if (label.endsWith("CERTIFICATE")) keys.push(fromSpki(spkiOfCertificate(bytes)));
  }
  if (keys.length === 0) return wrong(`There is no public key in it, but: ${blocks.map(({ label }) => label.toLowerCase()).join(", ")}.`, "pem");
  // Of a chain the first certificate is the signer's own.
  const isChain = blocks.length > 1 && blocks.every(({ label }) => label.endsWith("CERTIFICATE"));
  const notes = isChain ? ["Of the certificates only the first was taken; it was not checked who issued it."] : [];
  return { keys: isChain ? keys.slice(0, 1) : keys, problem: null, notes, source: "pem" };
}

function fromBareDer(text) {
  const { bytes } = decode(text.replace(/\s+/g, ""), { alphabet: "standard" });
  let key;
  try {
    key = fromSpki(bytes);
  } catch {
    key = fromSpki(spkiOfCertificate(bytes));
  }
  return { keys: [key], problem: null, notes: [], source: "pem" };
}

function fromSpki(bytes) {
  const { kind, curve, bits, spki } = describeSpki(bytes);
  const name = kind === "EC" ? `EC ${curve ?? "of an unknown curve"}` : (kind ?? "of an unknown kind");
  return { kind: name, form: "spki", bytes: spki, kid: null, alg: null, use: null, bits };
}

function fromJson(text) {
  const { root, problem } = parse(text);
  if (problem) return wrong(`It begins like a JWK, but is no JSON: it breaks at character ${problem.at + 1}.`, "jwk");
  const found = plain(root);
  if (Array.isArray(found.keys)) return fromSet(found.keys);
  if (Array.isArray(found)) return fromSet(found);
  if (typeof found.kty === "string") {
    const { keys, notes } = fromSet([found]);
    return keys.length ? { keys, problem: null, notes, source: "jwk" } : wrong("This JWK has no public key that this page knows.", "jwk");
  }
  const certificates = Object.entries(found).filter(([, pem]) => typeof pem === "string" && pem.includes("-----BEGIN"));
  if (certificates.length === 0) return wrong("This is JSON, but neither a JWK (it has no kty) nor a JWKS (it has no keys).", "jwk");
  const keys = certificates.flatMap(([kid, pem]) => fromPem(pem).keys.map((key) => ({ ...key, kid })));
  return { keys, problem: null, notes: [], source: "jwks" };
}

function fromSet(members) {
  const notes = [];
  const keys = members.filter((jwk) => jwk && typeof jwk === "object").map((jwk) => fromJwk(jwk, notes));
  if (keys.length === 0) return wrong("There is no key in this set.", "jwks");
  return { keys, problem: null, notes: [...new Set(notes)], source: "jwks" };
}

function fromJwk(jwk, notes) {
  const named = { kid: text(jwk.kid), alg: text(jwk.alg), use: text(jwk.use), bits: null };
  if (jwk.kty === "oct") return { ...named, kind: "oct", form: "raw", bytes: decode(text(jwk.k) ?? "").bytes };
  if (PRIVATE_MEMBERS.some((name) => name in jwk)) {
    notes.push("It holds a private key. Only its public half was used; the private one should be pasted nowhere.");
  }
  // Only what is public goes on, and nothing that would tie the key to an algorithm: that is compared before.
  const bare = Object.fromEntries(["kty", "crv", "x", "y", "n", "e"].filter((name) => name in jwk).map((name) => [name, jwk[name]]));
  const kind = { RSA: "RSA", EC: `EC ${jwk.crv}`, OKP: text(jwk.crv) }[jwk.kty] ?? `of the kind ${text(jwk.kty) ?? "?"}`;
  if (kind === "RSA") named.bits = bitsOf(decode(text(jwk.n) ?? "").bytes);
  return { ...named, kind, form: "jwk", jwk: bare };
}

function fromSecret(given, format) {
  const secret = format === "text" ? withoutLastBreak(given) : given.trim();
  if (format === "text") return made(encodeUtf8(secret).bytes, []);
  if (format === "hex") {
    const { bytes, fatal } = decodeHex(secret);
    return fatal ? wrong(`This is no hex: ${place(fatal, secret)}`, "secret") : made(bytes, []);
  }
  const { bytes, fatal, notes } = decode(secret.replace(/\s+/g, ""), { alphabet: format === "base64" ? "standard" : "url" });
  if (fatal) return wrong(`This is no ${format}: ${place(fatal, secret)}`, "secret");
  const odd = notes.some(({ code }) => code === "alphabet") ? [`It has letters that ${format} does not have (+ and / are base64, - and _ base64url). They were taken all the same.`] : [];
  return made(bytes, odd);
}

function place({ code, at }, secret) {
  return code === "character" ? `character ${at + 1} of ${secret.length} does not belong there.` : "it has a letter too few or too many.";
}

function made(bytes, notes) {
  const key = { kind: "oct", form: "raw", bytes, kid: null, alg: null, use: null, bits: bytes.length * 8 };
  return { keys: [key], problem: null, notes, source: "secret" };
}

/** A line break at the very end comes from the copying. */
function withoutLastBreak(given) {
  return given.replace(/\r?\n$/, "");
}

function text(value) {
  return typeof value === "string" ? value : null;
}
