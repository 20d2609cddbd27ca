// Buttons that copy. Knows the document and the clipboard.
//
// Rules: only what the button stands beside is copied, and only when it is pressed; the clipboard is never read. In the
// sandbox of the server a browser may refuse its newer way, and then the older one is taken.

import { announce, el } from "./dom.mjs";

const SAID_MS = 2000;

/** A button that copies what *read* returns when it is pressed. *what* names it for those who only hear it. */
export function copyButton(what, read) {
  const label = el("span", { "aria-hidden": "true" }, "Copy");
  const button = el("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, label);
  let timer = 0;
  button.addEventListener("click", async () => {
    const done = await copy(read());
    label.textContent = done ? "Copied" : "Not copied";
    announce(done ? `Copied: ${what}.` : "Your browser did not allow that. Select the text and copy it.");
    clearTimeout(timer);
    timer = setTimeout(() => { label.textContent = "Copy"; }, SAID_MS);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const before = document.activeElement;
  const field = el("textarea", { class: "unseen", tabindex: "-1", "aria-hidden": "true" });
  field.value = text;
  field.readOnly = true;
  document.body.append(field);
  field.select();
  let done = false;
  try {
    done = document.execCommand("copy");
  } finally {
    field.remove();
    if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  }
  return done;
}
