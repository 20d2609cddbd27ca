// Elements, made from what somebody pasted or from our own words. Knows the document and nothing else.
//
// Rules: text becomes text nodes, here and nowhere else. No markup is ever read (no innerHTML and its like), no address
// and no handler is ever set from a text, and what could hide or reorder characters is made visible.

const PLAIN_ATTRIBUTES = /^(?:class|id|for|type|name|value|hidden|disabled|checked|open|role|tabindex|title|colspan|scope|lang|dir|datetime|rows|viewBox|d|fill|x|y|cx|cy|r|width|height|x1|x2|y1|y2|points|transform|translate|aria-[a-z]+|data-[a-z-]+)$/;

/** The element with this id, which the page has for certain. */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found;
}

/** A new element. Attributes are ours; children are elements, or text, or nothing (null, false). */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  setAll(made, attributes);
  made.append(...kept(children));
  return made;
}

/** A new element of a drawing. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAll(made, attributes);
  made.append(...kept(children));
  return made;
}

/** Put these children in the place of all that an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...kept(children));
}

function setAll(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (!PLAIN_ATTRIBUTES.test(name)) throw new Error(`attribute ${name}`);
    if (value === false || value === null || value === undefined) continue;
    made.setAttribute(name, value === true ? "" : String(value));
  }
}

function kept(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

// Controls but tab and line feed; what is invisible; what changes the direction of the text around it; half characters.
const ODD = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Text that somebody else wrote, as children for an element: odd characters are shown by their code. */
export function hostile(text, most = 4000) {
  const shown = text.length > most ? text.slice(0, most) : text;
  const parts = [];
  let after = 0;
  for (const found of shown.matchAll(ODD)) {
    if (found.index > after) parts.push(shown.slice(after, found.index));
    const code = found[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    parts.push(el("span", { class: "odd" }, `U+${code}`));
    after = found.index + 1;
    if (parts.length > 2000) break;
  }
  if (after < shown.length && parts.length <= 2000) parts.push(shown.slice(after));
  const hidden = text.length - shown.length;
  if (hidden > 0) parts.push(el("span", { class: "cut" }, ` … and ${hidden.toLocaleString("en")} more characters`));
  return parts;
}

/** Say something to those who listen instead of looking. */
export function announce(words) {
  const announcer = byId("announcer");
  if (announcer.textContent !== words) announcer.textContent = words;
}
