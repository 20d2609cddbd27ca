// The JWT decoder: what is pasted goes through find, read, findings and verify, and is shown. Knows the document, the
// clock and the browser's cryptography; what is shown is made in verdict.mjs and panels.mjs.
//
// Rules: nothing that was pasted leaves this module but as text nodes. While a signature is being tried, and whenever
// anything has changed since, the page says "not verified".

import { announce, byId, el, fill } from "../shell/dom.mjs";
import { acceptText } from "../shell/drop.mjs";
import { member } from "../shared/json.mjs";
import { makeExample } from "./example.mjs";
import { find } from "./find.mjs";
import { inOrder, lastingFindings, timeFindings } from "./findings.mjs";
import { readKeys } from "./keys.mjs";
import { headerPanel, partsPanel, payloadPanel, sizeMeter, tickMoments } from "./panels.mjs";
import { read } from "./read.mjs";
import { findingsPanel, intro, outcomeOf, troublePanel, verdictPanel, whatItIs } from "./verdict.mjs";
import { verify } from "./verify.mjs";

const tokenField = byId("token");
const keyField = byId("key");
const results = byId("results");
const state = { found: { tokens: [], taken: [] }, token: null, lasting: [], outcome: null, tries: 0 };

const now = () => Date.now() / 1000;
const allFindings = () => inOrder([...timeFindings(state.token, now()), ...state.lasting]);

function tokenChanged() {
  state.found = find(tokenField.value);
  byId("clear").hidden = tokenField.value === "" && keyField.value === "";
  showChoice();
  choose(0);
}

function showChoice() {
  const { tokens } = state.found;
  byId("several").hidden = tokens.length < 2;
  byId("several-label").textContent = `${tokens.length} tokens are in it`;
  const options = tokens.map((text, index) => el("option", { value: index }, `${index + 1}: ${text.slice(0, 12)}…${text.slice(-8)}`));
  fill(byId("which"), options);
}

function choose(index) {
  const text = state.found.tokens[index];
  state.token = text === undefined ? null : read(text);
  state.lasting = state.token ? lastingFindings(state.token) : [];
  fill(byId("size"), state.token ? sizeMeter(state.token) : null);
  keyChanged();
}

async function keyChanged() {
  const mine = (state.tries += 1);
  const alg = member(state.token?.header, "alg")?.value;
  const isSecret = typeof alg === "string" && alg.startsWith("HS");
  byId("key-in").hidden = state.token?.kind !== "jws";
  byId("formats").hidden = !isSecret;
  byId("key-hint").textContent = isSecret
    ? `The token says ${alg}: paste the shared secret. It stays in this tab, too.`
    : "Paste the issuer's public key: PEM, certificate, JWK or JWKS. It stays in this tab, too.";
  state.outcome = null;
  show();
  if (keyField.value.trim() === "" || state.token?.kind !== "jws") return;
  const format = document.querySelector("input[name=format]:checked").value;
  const { keys, problem, notes } = readKeys(keyField.value, { format, isSecret });
  const outcome = problem
    ? { verdict: "cannot", title: "The key cannot be used", text: problem, notes: [] }
    : await verify(state.token, keys, globalThis.crypto?.subtle);
  if (mine !== state.tries) return; // something was pasted meanwhile
  state.outcome = { ...outcome, notes: [...notes, ...outcome.notes] };
  show();
}

function show() {
  const { token, outcome } = state;
  results.dataset.state = token ? token.kind : "empty";
  fill(byId("outcome"), outcome ? outcomeOf(outcome) : null);
  if (!token) {
    fill(results, intro());
    announce("");
    return;
  }
  const found = allFindings();
  shownFindings = findingsPanel(found);
  shownVerdict = token.kind === "jws" ? verdictPanel(token, outcome, now(), goToKey) : whatItIs(token);
  const isRead = token.kind === "jws" || token.kind === "jwe" || token.kind === "broken";
  fill(
    results,
    shownVerdict,
    troublePanel(token),
    shownFindings.panel,
    isRead && payloadPanel(token, outcome, now()),
    isRead && headerPanel(token, outcome, now()),
    isRead && partsPanel(token, state.found.taken),
  );
  announce(inWords(token, outcome, found));
}

let shownFindings = null;
let shownVerdict = null;

function inWords(token, outcome, found) {
  if (token.kind !== "jws") return token.trouble?.say ?? "Read.";
  const serious = found.filter(({ level }) => level === "danger").length;
  const said = outcome ? outcome.title : "Not verified";
  return `${said}. ${found.length} ${found.length === 1 ? "finding" : "findings"}, ${serious} of them serious.`;
}

function goToKey() {
  keyField.focus();
}

/** Times go on: in place, so that nothing that somebody is selecting is replaced under their hand. */
function tick() {
  const { token } = state;
  if (token?.kind !== "jws") return;
  tickMoments(results, now());
  if (!shownFindings.update(allFindings())) show();
}

// At once, not after a pause: nothing may stand beside a text that it is not about.
tokenField.addEventListener("input", tokenChanged);
keyField.addEventListener("input", () => {
  byId("clear").hidden = tokenField.value === "" && keyField.value === "";
  keyChanged();
});
for (const radio of document.querySelectorAll("input[name=format]")) radio.addEventListener("change", keyChanged);
byId("which").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("clear").addEventListener("click", () => {
  tokenField.value = keyField.value = "";
  tokenChanged();
  tokenField.focus();
});
byId("example").addEventListener("click", async () => {
  const { token, secret } = await makeExample(now(), globalThis.crypto?.subtle);
  tokenField.value = token;
  keyField.value = "";
  keyField.placeholder = secret ? `The example's secret is: ${secret}` : "";
  tokenChanged();
});
acceptText(tokenField);
acceptText(keyField);
setInterval(tick, 1000);
tokenChanged();
