// A token to look at, made here and now. The clock and the browser's cryptography are arguments.
//
// Rules: it has faults, so that one sees how they are told, and it is signed, so that one can verify it.

import { encode } from "../shared/base64.mjs";
import { encodeUtf8 } from "../shared/utf8.mjs";

const SECRET = "an example, and no secret at all";

/** `{ token, secret }`; without cryptography the token's signature fits nothing, and secret is null. */
export async function makeExample(now, subtle) {
  const made = Math.floor(now);
  const header = { alg: "HS256", typ: "at+jwt" };
  const payload = {
    iss: "https://auth.example.com", sub: "user-4711", aud: "orders", iat: made - 120, exp: made + 780,
    sid: "Yx2b9lC8Q0uJmTnZ", client_id: "shop", roles: ["admin"], email: "maria@example.com",
  };
  const text = [header, payload].map((part) => encode(encodeUtf8(JSON.stringify(part)).bytes)).join(".");
  if (!subtle) return { token: `${text}.${encode(new Uint8Array(32))}`, secret: null };
  const key = await subtle.importKey("raw", encodeUtf8(SECRET).bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signature = new Uint8Array(await subtle.sign("HMAC", key, encodeUtf8(text).bytes));
  return { token: `${text}.${encode(signature)}`, secret: SECRET };
}
