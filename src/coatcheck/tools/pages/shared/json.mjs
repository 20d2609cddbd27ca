// JSON with the places of everything in it. Pure.
//
// Rules: RFC 8259 to the letter, one place more strictly told than JSON.parse does: where it breaks, and which names
// come twice. A number is kept as it was written: 2^53 + 1 must not be shown as 2^53.

const DEEPEST = 200;
const BLANK = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

class Broken extends Error {
  constructor(code, at) {
    super(code);
    this.code = code;
    this.at = at;
  }
}

/**
 * `{ root, problem, duplicates }` of a text.
 *
 * A node has `type`, `start`, `end`, and: `value` (string, number, true, false, null), `raw` (number), `members`
 * (object: `{ name, start, value }`), `items` (array). problem: null or `{ code, at }`; root is null then.
 * duplicates: `{ name, at, path }` for each name that the same object has had before.
 */
export function parse(text) {
  const reader = { text, at: 0, duplicates: [] };
  try {
    const root = readValue(reader, 0, "");
    skip(reader);
    if (reader.at < text.length) throw new Broken("after_the_end", reader.at);
    return { root, problem: null, duplicates: reader.duplicates };
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    return { root: null, problem: { code: error.code, at: error.at }, duplicates: reader.duplicates };
  }
}

/** What a problem of `parse` means, in words. */
export const PROBLEMS = {
  after_the_end: "something follows after the value has ended",
  colon: "a colon is missing after the name",
  comma: "a comma, or the closing bracket, is missing",
  control: "a control character stands in a string as it is; it must be escaped",
  deep: `it is nested deeper than ${DEEPEST} levels`,
  escape: "this escape does not exist in JSON",
  name: "a name in double quotes is missing here",
  number: "this is not a number as JSON writes them",
  open_string: "the text ends inside a string",
  the_end: "the text ends too early",
  value: "no value can begin like this",
};

/** The value of a node as plain JavaScript: of names that come twice the last one counts, as in JSON.parse. */
export function plain(node) {
  if (node.type === "object") {
    const made = Object.create(null);
    for (const member of node.members) made[member.name] = plain(member.value);
    return made;
  }
  return node.type === "array" ? node.items.map(plain) : node.value;
}

/** The node that an object holds under this name, the last if there are several, or null. */
export function member(node, name) {
  if (node?.type !== "object") return null;
  return node.members.findLast((one) => one.name === name)?.value ?? null;
}

/**
 * A node as text with line breaks, numbers as they were written; null if that has more than *most* characters: deep
 * nesting makes a very long text of a short one.
 */
export function pretty(node, most = 1e6) {
  const out = { parts: [], left: most };
  write(out, node, "");
  return out.left < 0 ? null : out.parts.join("");
}

function put(out, text) {
  out.left -= text.length;
  if (out.left >= 0) out.parts.push(text);
}

function write(out, node, indent) {
  const children = node.members ?? node.items;
  if (out.left < 0) return;
  if (!children) return put(out, node.type === "number" ? node.raw : JSON.stringify(node.value));
  const [open, close] = node.type === "object" ? ["{", "}"] : ["[", "]"];
  if (children.length === 0) return put(out, open + close);
  const oneLine = node.type === "array" ? shortLine(children) : null;
  if (oneLine) return put(out, oneLine);
  put(out, open);
  for (const [index, child] of children.entries()) {
    put(out, `${index > 0 ? "," : ""}\n${indent}  `);
    if (node.type === "object") put(out, `${JSON.stringify(child.name)}: `);
    write(out, node.type === "object" ? child.value : child, `${indent}  `);
    if (out.left < 0) return;
  }
  put(out, `\n${indent}${close}`);
}

/** A list of plain values on one line, if it fits there. */
function shortLine(items) {
  if (items.length > 12 || items.some((one) => (one.members ?? one.items)?.length > 0)) return null;
  const line = `[${items.map(inline).join(", ")}]`;
  return line.length <= 60 ? line : null;
}

function inline({ type, raw, value }) {
  return { number: raw, object: "{}", array: "[]" }[type] ?? JSON.stringify(value);
}

/** Line and column of a place, both from 1. */
export function lineAndColumn(text, at) {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: before.at(-1).length + 1 };
}

function skip(reader) {
  BLANK.lastIndex = reader.at;
  reader.at += BLANK.exec(reader.text)[0].length;
}

function readValue(reader, depth, path) {
  if (depth > DEEPEST) throw new Broken("deep", reader.at);
  skip(reader);
  const { text, at: start } = reader;
  const first = text[start];
  if (first === undefined) throw new Broken("the_end", start);
  if (first === "{") return readObject(reader, depth, path);
  if (first === "[") return readArray(reader, depth, path);
  if (first === '"') return { type: "string", value: readString(reader), start, end: reader.at };
  if (first === "-" || (first >= "0" && first <= "9")) return readNumber(reader);
  for (const [word, value] of [["true", true], ["false", false], ["null", null]]) {
    if (text.startsWith(word, start)) {
      reader.at += word.length;
      return { type: word === "null" ? "null" : "boolean", value, start, end: reader.at };
    }
  }
  throw new Broken("value", start);
}

function readObject(reader, depth, path) {
  const start = reader.at;
  const members = [];
  const seen = new Set();
  reader.at += 1;
  skip(reader);
  while (reader.text[reader.at] !== "}") {
    if (members.length > 0) {
      take(reader, ",", "comma");
      skip(reader);
    }
    const nameAt = reader.at;
    if (reader.text[nameAt] !== '"') throw new Broken(nameAt < reader.text.length ? "name" : "the_end", nameAt);
    const name = readString(reader);
    if (seen.has(name)) reader.duplicates.push({ name, at: nameAt, path });
    seen.add(name);
    skip(reader);
    take(reader, ":", "colon");
    members.push({ name, start: nameAt, value: readValue(reader, depth + 1, path ? `${path}.${name}` : name) });
    skip(reader);
  }
  reader.at += 1;
  return { type: "object", members, start, end: reader.at };
}

function readArray(reader, depth, path) {
  const start = reader.at;
  const items = [];
  reader.at += 1;
  skip(reader);
  while (reader.text[reader.at] !== "]") {
    if (items.length > 0) take(reader, ",", "comma");
    items.push(readValue(reader, depth + 1, `${path}[${items.length}]`));
    skip(reader);
  }
  reader.at += 1;
  return { type: "array", items, start, end: reader.at };
}

function take(reader, letter, code) {
  if (reader.at >= reader.text.length) throw new Broken("the_end", reader.at);
  if (reader.text[reader.at] !== letter) throw new Broken(code, reader.at);
  reader.at += 1;
}

function readNumber(reader) {
  const start = reader.at;
  NUMBER.lastIndex = start;
  const raw = NUMBER.exec(reader.text)?.[0];
  if (raw === undefined || /[\w.+-]/.test(reader.text[start + raw.length] ?? "")) throw new Broken("number", start);
  reader.at = start + raw.length;
  return { type: "number", value: Number(raw), raw, start, end: reader.at };
}

function readString(reader) {
  const { text } = reader;
  const parts = [];
  reader.at += 1;
  for (;;) {
    PLAIN.lastIndex = reader.at;
    const piece = PLAIN.exec(text)[0];
    parts.push(piece);
    reader.at += piece.length;
    const letter = text[reader.at];
    if (letter === undefined) throw new Broken("open_string", reader.at);
    if (letter === '"') break;
    if (letter !== "\\") throw new Broken("control", reader.at);
    parts.push(readEscape(reader));
  }
  reader.at += 1;
  return parts.join("");
}

function readEscape(reader) {
  const { text, at } = reader;
  const letter = text[at + 1];
  if (letter === undefined) throw new Broken("open_string", at + 1);
  if (letter === "u") {
    const digits = text.slice(at + 2, at + 6);
    if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new Broken("escape", at);
    reader.at = at + 6;
    return String.fromCharCode(Number.parseInt(digits, 16));
  }
  if (!Object.hasOwn(ESCAPES, letter)) throw new Broken("escape", at);
  reader.at = at + 2;
  return ESCAPES[letter];
}
