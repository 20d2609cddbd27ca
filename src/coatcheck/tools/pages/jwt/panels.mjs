// The lower part of what is shown: claims, header, the token part by part, its size. Makes elements, and keeps no state.
//
// Rules: a value is shown as it was written, numbers too. What is long is cut and says so; copying gives all of it.

import { copyButton } from "../shell/copy.mjs";
import { el, hostile, svg } from "../shell/dom.mjs";
import { pretty } from "../shared/json.mjs";
import { local, relative, utc } from "../shared/time.mjs";
import { MOMENTS, aboutClaim, aboutHeader } from "./claims.mjs";
import { USUAL } from "./findings.mjs";
import { expiry } from "./verdict.mjs";

const ROWS = 100;
const VALUE_LONGEST = 1000;
const TEXT_LONGEST = 20_000;
const PART_LONGEST = 1500;

/** The claims. */
export function payloadPanel(token, outcome, now) {
  const part = token.parts[1];
  if (token.kind === "jwe" || !part?.json) return null;
  return panel("payload", "Payload", part, outcome, (name) => aboutClaim(name), now);
}

/** The header. */
export function headerPanel(token, outcome, now) {
  const part = token.parts[0];
  return part.json ? panel("header", "Header", part, outcome, aboutHeader, now) : null;
}

function panel(id, title, part, outcome, about, now) {
  const { root } = part.json;
  if (part.text === "") return null;
  const text = part.utf8.text;
  const laidOut = root && pretty(root);
  return el(
    "section",
    { class: "sheet", "aria-labelledby": `${id}-head` },
    el("div", { class: "head" }, el("h2", { id: `${id}-head` }, title, " ", tag(outcome)), copyButton(`the ${id} as JSON`, () => laidOut ?? text)),
    root?.type === "object" && rows(root, about, now),
    laidOut !== null && laidOut !== undefined && folded("As JSON", laidOut),
    folded(root ? "Exactly as it came" : "What can be read of it", text, !root),
  );
}

function tag(outcome) {
  const [kind, words] = { fits: ["", "signature fits"], differs: [" red", "not genuine"] }[outcome?.verdict] ?? [" amber", "not verified"];
  return el("span", { class: `tag${kind}` }, words);
}

function folded(title, text, open = false) {
  const pre = el("pre", { class: "output scroll theirs", translate: "no", tabindex: "0", role: "region", "aria-label": title }, hostile(text, TEXT_LONGEST));
  return el("details", { class: "folded", open }, el("summary", {}, title), pre);
}

function rows(root, about, now) {
  const members = root.members.slice(0, ROWS);
  const last = new Map(root.members.map((one, index) => [one.name, index]));
  const list = members.map((one, index) => row(one, about(one.name, one.value.value), now, last.get(one.name) !== index));
  const more = root.members.length - members.length;
  return [el("dl", { class: "claims" }, list), more > 0 && el("p", { class: "hint" }, `And ${more.toLocaleString("en")} more, below.`)];
}

function row({ name, value }, about, now, isOverridden) {
  return el(
    "div",
    { class: "claim" },
    el("dt", {}, el("code", { class: "theirs", translate: "no" }, hostile(name, 200))),
    el(
      "dd",
      {},
      shown(name, value, now),
      isOverridden && el("p", { class: "hint" }, el("span", { class: "tag red" }, "comes again further down")),
      el("p", { class: "hint" }, about ?? "The issuer's own."),
    ),
  );
}

function shown(name, node, now) {
  if (MOMENTS.has(name) && node.type === "number") {
    const there = shownMoment(name, node, now);
    if (there) return there;
  }
  const isLong = node.type === "object" || node.type === "array";
  const text = node.type === "string" ? node.value : (pretty(node, TEXT_LONGEST) ?? "…");
  const kind = node.type === "string" ? "string" : isLong ? "tree" : "bare";
  const words = text === "" ? el("span", { class: "cut" }, "empty") : hostile(text, VALUE_LONGEST);
  return el(kind === "tree" ? "pre" : "div", { class: `value ${kind} theirs`, translate: "no" }, words);
}

function shownMoment(name, node, now) {
  const at = node.value;
  if (utc(at) === null) return null;
  return [
    el("div", { class: "value moment" }, el("span", {}, local(at)), el("span", { class: "ago", "data-tick": name, "data-at": at }, momentWords(name, at, now))),
    el("p", { class: "hint" }, `${utc(at)} · `, el("code", {}, node.raw)),
  ];
}

function momentWords(name, at, now) {
  const words = relative(at, now);
  if (name === "exp") return expiry(at, now).toLowerCase();
  if (name === "nbf") return at > now ? `valid ${words}` : `valid since ${words.replace(/ ago$/, "")}`;
  return words;
}

/** Let all moments in there go on. */
export function tickMoments(root, now) {
  for (const one of root.querySelectorAll("[data-tick]")) {
    const at = Number(one.dataset.at);
    const words = one.closest(".in-time") ? expiry(at, now) : momentWords(one.dataset.tick, at, now);
    if (one.textContent !== words) one.textContent = words;
    one.classList.toggle("over", one.dataset.tick === "exp" && at <= now);
  }
}

/** The token in its parts, with the size of each. */
export function partsPanel(token, taken) {
  const pieces = token.parts.flatMap((part, index) => [
    index > 0 && el("span", { class: "dot" }, "."),
    el("span", { class: `part part-${index}` }, hostile(part.text, PART_LONGEST)),
  ]);
  const sizes = token.parts.map((part, index) => el("li", {}, el("span", { class: `key part-${index}`, "aria-hidden": "true" }), `${part.name}: ${part.text.length.toLocaleString("en")} letters, ${part.base.bytes.length.toLocaleString("en")} bytes`));
  return el(
    "section",
    { class: "sheet", "aria-labelledby": "parts-head" },
    el("div", { class: "head" }, el("h2", { id: "parts-head" }, "Part by part"), copyButton("the token alone", () => token.text)),
    taken.length > 0 && el("p", { class: "hint" }, `Taken off: ${taken.join(", ")}.`),
    el("pre", { class: "output scroll theirs", translate: "no", tabindex: "0", role: "region", "aria-label": "The token" }, pieces),
    el("ul", { class: "sizes" }, sizes),
  );
}

/** How long the token is, beside the usual. */
export function sizeMeter({ size }) {
  const x = (bytes) => Math.round((Math.log2(Math.min(Math.max(bytes, 64), 16384)) - 6) * 50);
  const words = size < USUAL.least ? "shorter than usual" : size <= USUAL.most ? "as usual" : "longer than usual";
  const drawing = svg(
    "svg",
    { viewBox: "0 0 400 14", class: "meter", "aria-hidden": "true" },
    svg("rect", { class: "meter-line", x: 0, y: 5, width: 400, height: 4 }),
    svg("rect", { class: "meter-usual", x: x(USUAL.least), y: 3, width: x(USUAL.most) - x(USUAL.least), height: 8 }),
    svg("circle", { class: "meter-here", cx: Math.min(Math.max(x(size), 6), 394), cy: 7, r: 6 }),
  );
  return el("div", { class: "size" }, el("p", {}, el("strong", {}, `${size.toLocaleString("en")} bytes`), el("span", { class: "hint" }, ` ${words}: most have ${USUAL.least} to ${USUAL.most}. A session cookie's value has 43.`)), drawing);
}
