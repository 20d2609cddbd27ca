// A service that verifies access tokens by the feed, written from docs/reference/feed.md alone. Nothing but Node.js.
//   node feed.mjs ISSUER CLIENT_ID CLIENT_SECRET AUDIENCE
// One token in a line on stdin; on stdout, for each, "accepted SUB" or "refused REASON".
import { createPublicKey, verify as isSigned } from "node:crypto";
import { createInterface } from "node:readline";

const [issuer, id, secret, audience] = process.argv.slice(2);
const headers = {
  "Content-Type": "application/json",
  Authorization: "Basic " + Buffer.from(`${id}:${secret}`).toString("base64"),
};
const KEPT_MS = 2 * 3600 * 1000;
const LEEWAY_S = 60;

let node, epoch, applied, beat, leaseMs, keys, changes, trustedUntil;

function forgetEverything() {
  [node, epoch, applied, beat] = [undefined, undefined, undefined, 0];
  [keys, changes, trustedUntil] = [new Map(), new Map(), -Infinity];
}

// A clock that nobody sets. It may stand still while the machine sleeps, so the calendar is looked at for lost time.
const now = () => performance.now();
const apart = () => Date.now() - performance.now();
let apartWhenSent = 0;
const isTrusted = () => now() < trustedUntil && apart() - apartWhenSent < leaseMs * 0.05;

async function poll(waitS) {
  const request = node === undefined ? { label: `feed.mjs ${process.pid}` } : { node, beat: ++beat, applied, epoch };
  if (waitS !== undefined && node !== undefined) request.wait_s = waitS;
  const [sent, sentApart] = [now(), apart()];
  const response = await fetch(issuer + "/feed", {
    method: "POST", headers, body: JSON.stringify(request), redirect: "error",
    signal: AbortSignal.timeout(node === undefined ? 10000 : leaseMs / 2),
  });
  if (response.status === 410) {
    const old = node;
    forgetEverything();
    return leave(old);
  }
  if (response.status !== 200) throw new Error(`the feed answers ${response.status}`);
  const news = await response.json();
  if (news.keys !== undefined) {
    keys = new Map(news.keys.keys.map((jwk) => [jwk.kid, { alg: jwk.alg, key: createPublicKey({ key: jwk, format: "jwk" }) }]));
  }
  for (const { sid, version } of news.changes) {
    changes.set(sid, { least: Math.max(version, changes.get(sid)?.least ?? 0), until: now() + KEPT_MS });
  }
  ({ node, epoch, upto: applied } = news);
  leaseMs = news.lease_s * 1000;
  if (news.upto === news.head) [trustedUntil, apartWhenSent] = [sent + 0.9 * leaseMs, sentApart];
}

async function leave(name) {
  await fetch(`${issuer}/feed/${name}`, { method: "DELETE", headers, signal: AbortSignal.timeout(1000) });
}

async function pollForEver() {
  for (let failures = 0; ; ) {
    try {
      await poll(failures ? 0 : undefined);
      failures = 0;
    } catch (error) {
      failures += 1;
      await new Promise((resolve) => setTimeout(resolve, Math.min(500, 20 * 2 ** failures)));
    }
  }
}

setInterval(() => {
  for (const [sid, { until }] of changes) if (until < now()) changes.delete(sid);
}, 60000).unref();

function verify(token) {
  if (!isTrusted()) return "refused unsure";
  const parts = token.split(".");
  if (parts.length !== 3 || !/^[A-Za-z0-9_.-]+$/.test(token)) return "refused malformed";
  const [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
  const known = keys.get(header.kid);
  if (known === undefined) return "refused unknown_key";
  if (header.alg !== known.alg || "crit" in header) return "refused bad_signature";
  if (!["at+jwt", "application/at+jwt"].includes(header.typ)) return "refused wrong_type";
  const [message, signature] = [Buffer.from(parts[0] + "." + parts[1]), Buffer.from(parts[2], "base64url")];
  const [digest, key] = known.alg === "ES256" ? ["sha256", { key: known.key, dsaEncoding: "ieee-p1363" }] : [null, known.key];
  if (!isSigned(digest, message, key, signature)) return "refused bad_signature";
  const seconds = Date.now() / 1000;
  if (claims.iss !== issuer) return "refused wrong_issuer";
  if (![claims.aud].flat().includes(audience)) return "refused wrong_audience";
  if (!(claims.exp > seconds)) return "refused expired";
  if (!(claims.iat <= seconds + LEEWAY_S)) return "refused not_yet_valid";
  const change = changes.get(claims.sid);
  if (change !== undefined && claims.ver < change.least) return change.least === 2 ** 53 ? "refused revoked" : "refused renewed";
  return `accepted ${claims.sub}`;
}

forgetEverything();
pollForEver();
for await (const line of createInterface({ input: process.stdin })) {
  let answer = "refused malformed";
  try {
    answer = verify(line);
  } catch {}
  console.log(answer);
}
trustedUntil = -Infinity;
if (node !== undefined) await leave(node).catch(() => {});
process.exit(0);
