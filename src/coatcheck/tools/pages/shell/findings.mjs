// A list of findings, worst first, and rows of facts. Makes elements, and keeps no state.
//
// Rules: a finding is `{ code, level, title, text }` with level "danger", "warn" or "note"; titles and texts may hold what
// somebody pasted, and so go through `hostile`.

import { el, hostile } from "./dom.mjs";

const LEVELS = { danger: "Dangerous", warn: "Take care", note: "To know" };

/** The list, or null if there is nothing in it. */
export function findingsList(found) {
  if (found.length === 0) return null;
  return el("ul", { class: "findings" }, found.map(({ code, level, title, text }) => el(
    "li",
    { class: `finding ${level}`, "data-code": code },
    el("span", { class: "level" }, LEVELS[level]),
    el("h3", {}, hostile(title, 300)),
    el("p", {}, hostile(text, 1000)),
  )));
}

/** Rows of `[name, children]`; a row without children is left out. */
export function factsList(rows) {
  return el("dl", { class: "facts" }, rows.filter(([, children]) => children).map(([name, children]) => el("div", { class: "fact" }, el("dt", {}, name), el("dd", {}, children))));
}
