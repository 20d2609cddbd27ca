// Files that are dropped onto a field, or anywhere else on the page. Knows the document.
//
// Rules: a file is read here, in the tab, and goes nowhere. One that misses the field must not replace the page, which
// is what browsers do with it.

import { announce } from "./dom.mjs";

/** Let *take* have each file that is dropped onto *field*. It is called once per drop, with the first file. */
export function acceptFiles(field, take) {
  field.addEventListener("dragover", () => field.classList.add("drop"));
  for (const name of ["dragleave", "drop"]) field.addEventListener(name, () => field.classList.remove("drop"));
  field.addEventListener("drop", (event) => {
    const [file] = event.dataTransfer?.files ?? [];
    if (file) take(file);
  });
}

/** Let the text of a dropped file become what is in *field*, as if it had been pasted. */
export function acceptText(field, most = 16_777_216) {
  acceptFiles(field, async (file) => {
    if (file.size > most) return announce("This file is too long for a text.");
    field.value = await file.text();
    field.dispatchEvent(new Event("input"));
  });
}

for (const name of ["dragover", "drop"]) {
  document.addEventListener(name, (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
}
