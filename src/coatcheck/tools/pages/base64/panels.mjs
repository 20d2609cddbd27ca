// What is shown below the two fields. Makes elements, and keeps no state.
//
// Rules: a picture is drawn from a data: address of its own bytes, by a kind that this page knows; an SVG is not drawn.

import { copyButton } from "../shell/copy.mjs";
import { el, hostile } from "../shell/dom.mjs";
import { factsList, findingsList } from "../shell/findings.mjs";
import { encode } from "../shared/base64.mjs";

const PICTURE_BYTES = 4_194_304;
const AROUND = 24;
const ALPHABETS = { standard: "standard (it has + or /)", url: "URL-safe (it has - or _)", mixed: "both at once", any: "either: it has no letter that tells" };

/** What the page is for, while it is empty. */
export function intro() {
  const lines = [
    ["Both ways, at once", "Type or paste on either side; the other follows with each letter. Text, hex or a file."],
    ["Exact", "UTF-8 to the byte. What is missing, too much or not canonical is told, with its place; nothing is skipped in silence."],
    ["And what is it?", "Pictures, certificates, keys, JSON, tokens and SAML are recognised. Nothing runs, whatever it is."],
  ];
  return el("section", { class: "intro", "aria-label": "What you will see" }, lines.map(([title, text]) => el("div", { class: "sheet" }, el("h2", {}, title), el("p", { class: "soft" }, text))));
}

/** A button without a colour of its own. */
export function smallButton(words, work, attributes = {}) {
  const button = el("button", { type: "button", class: "copy", ...attributes }, words);
  button.addEventListener("click", work);
  return button;
}

/** What it is, what is odd about it, and what it looks like. */
export function resultPanel({ bytes, what, found, read, pasted, name, written }) {
  return el(
    "div",
    { class: "results" },
    el(
      "section",
      { class: "sheet", "aria-labelledby": "what-head" },
      el("h2", { id: "what-head", "data-kind": what.kind }, what.title),
      what.text && el("p", {}, hostile(what.text)),
      picture(bytes, what),
      factsList([...facts(bytes, read, name, written), ...(what.facts ?? []).map(([key, text]) => [key, el("span", { class: "theirs", translate: "no" }, hostile(text, 500))])]),
    ),
    found.length > 0 && el("section", { class: "sheet", "aria-labelledby": "odd-head" }, el("h2", { id: "odd-head" }, "What is odd about it, or worth knowing"), here(read, pasted), findingsList(found)),
    what.laidOut !== undefined && laidOut(what.laidOut),
  );
}

function facts(bytes, read, name, written) {
  const count = (number, unit) => `${number.toLocaleString("en")} ${unit}${number === 1 ? "" : "s"}`;
  const letters = read ? read.letters : written;
  return [
    ["File", name && el("span", { class: "theirs" }, hostile(name, 200))],
    ["Size", `${count(bytes.length, "byte")}, as base64 ${count(letters, "letter")}`],
    ["Alphabet", read && ALPHABETS[read.alphabet]],
    ["Padding", read && !read.fatal && (read.padding > 0 ? "=".repeat(Math.min(read.padding, 8)) : read.wanted > 0 ? "none" : "none, and none belongs there")],
    ["Says of itself", read?.mime && hostile(read.mime, 100)],
    ["Taken off", read && read.taken.length > 0 && read.taken.join(", ")],
    ["Lines", read && read.lines.length > 1 && `of ${read.lines.join(", ")} letters`],
  ];
}

/** Where it breaks, with the letter marked. */
function here(read, pasted) {
  if (!read?.fatal) return null;
  const { at } = read.fatal;
  const letter = String.fromCodePoint(pasted.codePointAt(at) ?? 32);
  return el(
    "pre",
    { class: "output theirs", translate: "no", "aria-label": "Here it breaks", role: "img" },
    at > AROUND && "…",
    hostile(pasted.slice(Math.max(0, at - AROUND), at)),
    el("mark", {}, at < pasted.length ? hostile(letter) : " "),
    hostile(pasted.slice(at + letter.length, at + AROUND)),
    pasted.length > at + AROUND && "…",
  );
}

function picture(bytes, what) {
  if (!what.mime || bytes.length > PICTURE_BYTES) return null;
  const image = el("img", { class: "picture" });
  image.alt = "The picture that is in it";
  image.addEventListener("error", () => image.replaceWith(el("p", { class: "hint" }, "Your browser cannot draw it: it is damaged, or of a kind it does not know.")));
  image.src = `data:${what.mime};base64,${encode(bytes, { alphabet: "standard" })}`;
  return el("div", { class: "picture-ground" }, image);
}

function laidOut(text) {
  return el(
    "section",
    { class: "sheet", "aria-labelledby": "json-head" },
    el("div", { class: "head" }, el("h2", { id: "json-head" }, "As JSON"), copyButton("the JSON", () => text)),
    el("pre", { class: "output scroll theirs", translate: "no", tabindex: "0", role: "region", "aria-label": "The JSON" }, hostile(text, 20_000)),
  );
}
