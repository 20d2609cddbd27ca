// The upper part of what is shown: the verdict, where it breaks, what is wrong. Makes elements, and keeps no state.
//
// Rules: whatever is not a signature that fits is told as "not verified", first, in the largest letters below the
// heading, and in colour, words and pattern, not by one of them alone.

import { el, hostile } from "../shell/dom.mjs";
import { moment } from "./findings.mjs";
import { excerpt } from "./read.mjs";
import { relative } from "../shared/time.mjs";

const LEVELS = { danger: "Serious", warn: "Look at this", note: "Worth knowing" };

/** What stands there before anything is pasted. */
export function intro() {
  const lines = [
    ["What it says", "Header and claims, each explained, with times that tick."],
    ["What is wrong with it", "In words, the worst first: alg none, no exp, personal data, and the very letter where it breaks."],
    ["Whether it is genuine", "Signatures are verified in this tab, with a secret, PEM, JWK or JWKS that you paste."],
  ];
  return el("section", { class: "intro", "aria-label": "What you will see" }, lines.map(([title, text]) => el("div", { class: "sheet" }, el("h2", {}, title), el("p", { class: "soft" }, text))));
}

/** The banner of a signed token. *verify*: called when somebody wants to. */
export function verdictPanel(token, outcome, now, verify) {
  const { kind, title, text } = verdictOf(token, outcome);
  const button = kind === "unverified" && !outcome ? el("button", { type: "button" }, "Verify it") : null;
  button?.addEventListener("click", verify);
  return el(
    "section",
    { class: `verdict ${kind}`, "aria-labelledby": "verdict-head" },
    el("div", { class: "verdict-words" }, el("h2", { id: "verdict-head" }, title), el("p", {}, text), inTime(token, now)),
    button,
  );
}

function verdictOf(token, outcome) {
  if (outcome?.verdict === "fits") {
    return { kind: "fits", title: "The signature fits", text: `${outcome.text} So nobody has changed it since. Whether it was revoked, and whether it is meant for you, no signature can say.` };
  }
  if (outcome?.verdict === "differs") return { kind: "differs", title: `Not genuine: ${lower(outcome.title)}`, text: outcome.text };
  const why = outcome ? `${outcome.title}. ${outcome.text}` : "Anybody can write a token that says this. Believe none of it before its signature is verified.";
  return { kind: "unverified", title: "Not verified", text: why };
}

function lower(words) {
  return words[0].toLowerCase() + words.slice(1);
}

function inTime(token, now) {
  const exp = moment(token, "exp");
  if (exp === null || Math.abs(exp) > 1e11) return null;
  return el("p", { class: "in-time" }, el("span", { "data-tick": "exp", "data-at": exp }, expiry(exp, now)));
}

/** "Expired 3 minutes ago", "Expires in 12 minutes". */
export function expiry(exp, now) {
  return exp <= now ? `Expired ${relative(exp, now)}` : `Expires ${relative(exp, now)}`;
}

/** The panel of something that is no signed token. */
export function whatItIs(token) {
  const { title, text } = {
    jwe: { title: "Encrypted: not verified, and not readable", text: "This is a JWE. Only its header is in the clear; what it says, nobody can see without the key, and this page does not decrypt." },
    broken: { title: "Not verified: this token is broken", text: "It has the look of a JWT, and cannot be read as one. What can be read is shown all the same." },
    too_long: { title: "Not read: too long for a token", text: `It has ${token.size.toLocaleString("en")} bytes. Usual are 300 to 800, and no server takes more than some thousand.` },
    opaque: opaque(token.what),
  }[token.kind];
  return el("section", { class: "verdict unverified", "aria-labelledby": "verdict-head" }, el("div", { class: "verdict-words" }, el("h2", { id: "verdict-head" }, title), el("p", {}, text)));
}

function opaque(what) {
  const title = { key: "This is a key, and no token", json: "No token was found", text: "No token was found", json_jws: "A JWS, but no JWT" }[what?.kind] ?? "This is no JWT";
  const seems = what?.say ? `It looks like ${what.say}.` : "It looks like an opaque token.";
  const text = {
    key: `It looks like ${what?.say}. Paste the token here, and the key below it. If it is a private key, it should be pasted nowhere.`,
    json: `It looks like ${what?.say}.`,
    text: "A JWT is one word of three parts with dots between, and begins with “eyJ” nearly always.",
    json_jws: "A JWT has the compact form only: three parts with dots between. Put protected, payload and signature together like that to read it here.",
    signed_cookie: `${seems} It can be read by anyone; it is not encrypted. This page reads JWTs only.`,
  }[what?.kind] ?? `${seems} It says nothing by itself: only the server that made it knows what it stands for, so there is nothing to decode. Ask that server, by introspection (RFC 7662), whether it still counts.`;
  return { title, text };
}

/** Where it breaks, with the place marked; or nothing. */
export function troublePanel(token) {
  const { trouble } = token;
  if (!trouble) return null;
  const inside = trouble.json ? excerpt(trouble.json.text, trouble.json.at, 1) : null;
  return el(
    "section",
    { class: "sheet trouble", "aria-labelledby": "trouble-head" },
    el("h2", { id: "trouble-head" }, "Here it breaks"),
    el("p", {}, trouble.say),
    marked("In the token", excerpt(token.text, trouble.at, trouble.length)),
    inside && marked("Decoded", inside),
  );
}

function marked(title, { before, bad, after }) {
  const place = bad === "" ? el("mark", { class: "gap", title: "Something is missing here" }, "▮") : el("mark", {}, hostile(bad));
  return el("div", { class: "field" }, el("h3", {}, title), el("pre", { class: "output theirs", translate: "no" }, hostile(before), place, hostile(after)));
}

/** What is wrong: `{ panel, update }`; update puts new words in place, and says whether that was enough. */
export function findingsPanel(found) {
  const titles = found.map((one) => el("h3", {}, hostile(one.title)));
  const rows = found.map((one, index) => el("li", { class: `finding ${one.level}`, "data-code": one.code }, el("span", { class: "level" }, LEVELS[one.level]), titles[index], el("p", {}, one.text)));
  const nothing = "Nothing is wrong with it, as far as one can see from outside.";
  const panel = found.length
    ? el("section", { class: "sheet", "aria-labelledby": "findings-head" }, el("h2", { id: "findings-head" }, "What is wrong with it, or worth knowing"), el("ul", { class: "findings" }, rows))
    : el("p", { class: "say" }, nothing);
  const update = (fresh) => {
    if (fresh.map(({ code }) => code).join() !== found.map(({ code }) => code).join()) return false;
    for (const [index, one] of fresh.entries()) {
      if (one.title !== found[index].title) titles[index].replaceChildren(...hostile(one.title));
    }
    found = fresh;
    return true;
  };
  return { panel: found.length ? panel : null, update };
}

/** What came of the key, below it. */
export function outcomeOf({ verdict, title, text, notes }) {
  const kind = { fits: "", differs: " bad", cannot: " warn" }[verdict];
  return el("div", { class: `say${kind}` }, el("p", {}, el("strong", {}, title), ". ", hostile(text)), notes.map((one) => el("p", { class: "hint" }, one)));
}
