// What can be said of algorithm and signature without any key. Pure.

import { member } from "../shared/json.mjs";

/** Algorithms that this page can verify: what kind of key each takes, and how long its signature is in bytes. */
export const ALGORITHMS = {
  HS256: { key: "oct", hash: "SHA-256", signature: 32 },
  HS384: { key: "oct", hash: "SHA-384", signature: 48 },
  HS512: { key: "oct", hash: "SHA-512", signature: 64 },
  RS256: { key: "RSA", hash: "SHA-256" },
  RS384: { key: "RSA", hash: "SHA-384" },
  RS512: { key: "RSA", hash: "SHA-512" },
  PS256: { key: "RSA", hash: "SHA-256", salt: 32 },
  PS384: { key: "RSA", hash: "SHA-384", salt: 48 },
  PS512: { key: "RSA", hash: "SHA-512", salt: 64 },
  ES256: { key: "EC P-256", curve: "P-256", hash: "SHA-256", signature: 64 },
  ES384: { key: "EC P-384", curve: "P-384", hash: "SHA-384", signature: 96 },
  ES512: { key: "EC P-521", curve: "P-521", hash: "SHA-512", signature: 132 },
  EdDSA: { key: "Ed25519", signature: 64 },
  Ed25519: { key: "Ed25519", signature: 64 },
};

/** Findings (findings.mjs) about alg and the third part. */
export function signatureFindings(token) {
  const node = member(token.header, "alg");
  const alg = node?.value;
  const signature = token.parts[2];
  if (node === null) return [danger("no_alg", "The header names no algorithm", "Without alg it is no JWS. Whoever verifies it must refuse it.")];
  if (typeof alg === "string" && alg.toLowerCase() === "none") {
    const more = signature.text === "" ? "" : " What stands in the place of a signature means nothing.";
    return [danger("alg_none", "It is not signed at all (alg none)", `Anybody can write such a token, with any claims. A service that accepts it lets everybody in.${more}`)];
  }
  if (typeof alg !== "string" || !Object.hasOwn(ALGORITHMS, alg)) {
    return [warn("alg_unknown", "An algorithm that is unknown here", "It is none of HS, RS, PS and ES with 256, 384 or 512, EdDSA and Ed25519; this page cannot verify it. Names are told apart by capital letters, too.")];
  }
  const found = inLength(alg, signature);
  if (alg.startsWith("HS")) found.push(note("shared_secret", "Signed with a shared secret", "Everybody who can verify it can also write one. With more than one service, a public key (ES256, Ed25519) is the better way."));
  return found;
}

function inLength(alg, signature) {
  const length = signature.base.bytes.length;
  const wanted = ALGORITHMS[alg].signature;
  if (signature.text === "") return [danger("no_signature", "The signature is missing", `The header says ${alg}, and after the second dot there is nothing. Was it cut off when it was copied?`)];
  if (signature.base.fatal) return [danger("broken_signature", "The signature is damaged", "It is not base64url, so it can fit no key. The payload can be read all the same.")];
  if (alg.startsWith("ES") && length !== wanted && signature.base.bytes[0] === 0x30) {
    return [danger("signature_der", "The signature has the wrong form (DER)", "So OpenSSL writes it. A JWT has the two numbers side by side, without anything around them.")];
  }
  if (wanted && length !== wanted) return [danger("signature_length", "The signature has the wrong length", `${alg} makes ${wanted} bytes, and these are ${length}. Was it cut off when it was copied?`)];
  if (!wanted && length < 256) return [danger("small_key", `An RSA key of ${length * 8} bits`, "It can be broken, or soon will be: at least 2,048 are asked for (RFC 7518). If the signature is not complete, it was cut off.")];
  return [];
}

function danger(code, title, text) {
  return { code, level: "danger", title, text };
}

function warn(code, title, text) {
  return { code, level: "warn", title, text };
}

function note(code, title, text) {
  return { code, level: "note", title, text };
}
