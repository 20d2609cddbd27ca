// Verifies one access token the way a service in JavaScript would: jose, with the issuer's JWK set.
// stdin: {"token", "jwks", "issuer", "audience", "now"}; stdout: the claims, or {"refused": code}.
import { createLocalJWKSet, jwtVerify } from "jose";

let text = "";
for await (const part of process.stdin) text += part;
const { token, jwks, issuer, audience, now } = JSON.parse(text);
const options = { issuer, audience, typ: "at+jwt", currentDate: new Date(now * 1000) };
try {
  const { payload } = await jwtVerify(token, createLocalJWKSet(jwks), options);
  console.log(JSON.stringify(payload));
} catch (error) {
  console.log(JSON.stringify({ refused: error.code }));
}
