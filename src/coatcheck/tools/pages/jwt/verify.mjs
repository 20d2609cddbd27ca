// Whether a signature fits a key, by the browser's own cryptography (WebCrypto), which is an argument.
//
// Rules: the key decides which algorithms it is for; the token's alg is only compared with that. What could not be
// tried is never told as "does not fit". The answer is about the signature, and about nothing else.

import { member } from "../shared/json.mjs";
import { encodeUtf8 } from "../shared/utf8.mjs";
import { ALGORITHMS } from "./signature.mjs";

/**
 * `{ verdict, title, text, notes }` of a token (read.mjs) and keys (keys.mjs).
 *
 * verdict: "fits", "differs", or "cannot" (nothing was tried, or not all of it could be).
 */
export async function verify(token, keys, subtle) {
  const alg = member(token.header, "alg")?.value;
  if (token.kind !== "jws") return cannot("There is no signature to verify", "Only a signed token (JWS) has one.");
  if (typeof alg === "string" && alg.toLowerCase() === "none") return cannot("There is no signature to verify", "The token says alg none: no key can make it genuine.");
  if (typeof alg !== "string" || !Object.hasOwn(ALGORITHMS, alg)) return cannot("This algorithm is unknown here", "The page knows HS, RS, PS and ES with 256, 384 or 512, and Ed25519.");
  if (token.parts[2].base.fatal || token.parts[2].text === "") return differs("The signature is missing or damaged", "No key fits it.");
  if (!subtle) return cannot("This browser has no cryptography for this page", "It is there on https, on localhost and in files only. Open the page there.");
  return among(choose(token, alg, keys), token, alg, subtle);
}

function cannot(title, text) {
  return { verdict: "cannot", title, text, notes: [] };
}

function differs(title, text) {
  return { verdict: "differs", title, text, notes: [] };
}

/** The keys that may be meant: of the token's kid, where a set has that, and in any case of the right kind. */
function choose(token, alg, keys) {
  const kid = member(token.header, "kid")?.value ?? null;
  const named = keys.filter((key) => key.kid !== null && key.kid === kid);
  const among = named.length ? named : keys;
  const isRight = (key) => key.kind === ALGORITHMS[alg].key && (key.alg === null || sameAlgorithm(key.alg, alg));
  const isNamed = kid === null || named.length > 0 || keys.every((key) => key.kid === null);
  const notes = isNamed ? [] : ["No key in it has the kid that the token names, so a verifier would stop here. Have the keys been rotated?"];
  return { all: among, suitable: among.filter(isRight), notes };
}

function sameAlgorithm(one, other) {
  const ed = ["EdDSA", "Ed25519"];
  return one === other || (ed.includes(one) && ed.includes(other));
}

async function among({ all, suitable, notes }, token, alg, subtle) {
  if (suitable.length === 0) return { ...wrongKind(all, alg), notes };
  let why = null;
  for (const key of suitable) {
    const outcome = await tryOne(key, token, alg, subtle);
    if (outcome === true) return { verdict: "fits", title: "The signature fits", text: described(key, alg), notes: [...notes, ...inKey(key, alg)] };
    if (typeof outcome === "string") why = outcome;
  }
  if (why) return { ...cannot("The key cannot be used", why), notes };
  const text = suitable.length > 1 ? `None of the ${suitable.length} keys of the right kind fits.` : "Another key has signed this, or somebody has changed it since, or the key was not read as it is meant.";
  return { ...differs("The signature does not fit this key", text), notes };
}

function wrongKind(keys, alg) {
  const kinds = [...new Set(keys.map((key) => (key.alg ? `${named(key.kind)} for ${key.alg}` : named(key.kind))))].slice(0, 4).join(", ");
  const wanted = named(ALGORITHMS[alg].key);
  if (alg.startsWith("HS")) return cannot("This is no key for this token", `The token says ${alg}, which takes a shared secret, and here is: ${kinds}. If the service expects a public key, it must refuse this token: with a public key as the secret anybody can write it.`);
  return cannot("This is no key for this token", `The token says ${alg}, which takes ${wanted}, and here is: ${kinds}.`);
}

function named(kind) {
  return kind === "oct" ? "a shared secret" : `a public key (${kind})`;
}

async function tryOne(key, token, alg, subtle) {
  const { imports, verifies } = parameters(alg);
  const data = encodeUtf8(token.text.slice(0, token.parts[2].start - 1)).bytes;
  let imported;
  try {
    imported = await subtle.importKey(key.form, key.form === "jwk" ? key.jwk : key.bytes, imports, false, ["verify"]);
  } catch (error) {
    if (key.kind === "oct" && key.bytes.length === 0) return "The secret is empty.";
    if (error.name === "NotSupportedError") return `This browser does not know ${alg}.`;
    return "The key is damaged: the browser does not take it.";
  }
  try {
    return await subtle.verify(verifies, imported, token.parts[2].base.bytes, data);
  } catch {
    return "The browser could not try it.";
  }
}

function parameters(alg) {
  const { hash, salt, curve, key } = ALGORITHMS[alg];
  if (key === "oct") return { imports: { name: "HMAC", hash }, verifies: "HMAC" };
  if (salt) return { imports: { name: "RSA-PSS", hash }, verifies: { name: "RSA-PSS", saltLength: salt } };
  if (key === "RSA") return { imports: { name: "RSASSA-PKCS1-v1_5", hash }, verifies: "RSASSA-PKCS1-v1_5" };
  if (curve) return { imports: { name: "ECDSA", namedCurve: curve }, verifies: { name: "ECDSA", hash } };
  return { imports: { name: "Ed25519" }, verifies: "Ed25519" };
}

function described(key, alg) {
  if (key.kind === "oct") return `${alg}, by this secret.`;
  const bits = key.bits ? `, ${key.bits} bits` : "";
  return `${alg}, by ${key.kid === null ? "this public key" : `the public key ${key.kid.slice(0, 60)}`} (${key.kind}${bits}).`;
}

function inKey(key, alg) {
  const notes = [];
  const least = { HS256: 32, HS384: 48, HS512: 64 }[alg];
  if (least && key.bytes.length < least) notes.push(`The secret has ${key.bytes.length} bytes, and ${alg} wants at least ${least}: whoever has one token can find a short secret by trying.`);
  if (key.kind === "RSA" && key.bits < 2048) notes.push(`An RSA key of ${key.bits} bits can be broken: at least 2,048 are asked for.`);
  if (key.use === "enc") notes.push("This key is for encryption (use: enc), not for signatures.");
  return notes;
}
