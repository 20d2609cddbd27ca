// What jose makes of tokens. stdin: [{"token", "alg", "key": {"pem"} or {"jwk"} or null}, …]; stdout: for each of them
// {"header", "payload", "fits"}; header and payload are null where jose does not read them, fits where there is no key.
import { compactVerify, decodeJwt, decodeProtectedHeader, importJWK, importSPKI } from "jose";

let text = "";
for await (const part of process.stdin) text += part;
const told = [];
for (const { token, alg, key } of JSON.parse(text)) {
  const said = { header: null, payload: null, fits: null };
  try {
    said.header = decodeProtectedHeader(token);
    said.payload = decodeJwt(token);
  } catch {
    // Not read: that is the answer.
  }
  if (key !== null) {
    try {
      await compactVerify(token, key.pem ? await importSPKI(key.pem, alg) : await importJWK(key.jwk, alg));
      said.fits = true;
    } catch {
      said.fits = false;
    }
  }
  told.push(said);
}
console.log(JSON.stringify(told));
