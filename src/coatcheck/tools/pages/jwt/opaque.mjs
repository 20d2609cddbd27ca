// What else it may be, if it is no JWT: known by its form. Pure.
//
// Rules: a form is a hint and told as one. What holds keys is told apart, because it belongs into the other field.

const FORMS = [
  [/^ccr1_[\w-]{20,}$/, "a refresh token of Coatcheck"],
  [/^[\w-]{43}$/, "32 random bytes in base64url, as a session token of Coatcheck is"],
  [/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i, "a UUID"],
  [/^(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{128})$/i, "random bytes or a hash, in hex"],
  [/^v[1-4]\.(?:local|public)\.[\w-]+(?:\.[\w-]+)?$/, "a PASETO, which has claims too, but another form"],
  [/^gh[pousr]_\w{20,}$/, "a token of GitHub"],
  [/^github_pat_\w{20,}$/, "a token of GitHub"],
  [/^glpat-[\w-]{15,}$/, "a token of GitLab"],
  [/^xox[a-z]-[\w-]{10,}$/, "a token of Slack"],
  [/^ya29\.[\w-]{20,}$/, "an access token of Google"],
  [/^(?:sk|pk|rk)_(?:live|test)_\w{10,}$/, "a key of Stripe"],
  [/^s(?::|%3A)[^.]+\.[\w%+/=-]+$/i, "a signed session cookie of Express (connect), which holds an id only"],
];

/**
 * `{ kind, say }` of a text that is no JWT, or null; with *anything* never null.
 *
 * kind: "opaque", "key" (PEM, JWK, JWKS), "json_jws" (a JWS in its JSON form), "signed_cookie", "json", "text".
 */
export function recognise(text, { anything = false } = {}) {
  if (/-----BEGIN [A-Z0-9 ]+-----/.test(text)) return { kind: "key", say: "a key or a certificate (PEM)" };
  if (text.startsWith("{")) return fromJson(text);
  for (const [pattern, say] of FORMS) if (pattern.test(text)) return { kind: "opaque", say };
  if (isFlask(text)) return { kind: "signed_cookie", say: "a session cookie of Flask: data, time and signature, and no header" };
  if (!anything) return null;
  if (/\s/.test(text)) return { kind: "text", say: "a text without a token in it" };
  return { kind: "opaque", say: null };
}

function fromJson(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return { kind: "json", say: "JSON that is broken, and no token was found in it" };
  }
  if (Array.isArray(found.keys)) return { kind: "key", say: "a set of keys (JWKS)" };
  if (typeof found.kty === "string") return { kind: "key", say: "a key (JWK)" };
  if ("payload" in found && ("signature" in found || "signatures" in found)) {
    return { kind: "json_jws", say: "a JWS in its JSON form" };
  }
  return { kind: "json", say: "JSON, and no token was found in it; perhaps the payload of one" };
}

/** Flask's (itsdangerous): its second part is a time of 4 to 6 bytes, and its first has no header's names. */
function isFlask(text) {
  const pieces = text.split(".");
  if (pieces.length !== 3 || !/^e[yw]/.test(pieces[0]) || pieces[1].length > 8 || pieces[2].length !== 27) return false;
  try {
    return !("alg" in JSON.parse(atob(pieces[0].replaceAll("-", "+").replaceAll("_", "/"))));
  } catch {
    return false;
  }
}
