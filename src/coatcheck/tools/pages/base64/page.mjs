// The base64 page: two fields, and each follows the other. Knows the document and the clock.
//
// Rules: the bytes are the truth, and both fields show them; what a field cannot show without loss it shows read-only.
// What is long is cut in the fields and says so; copying and saving give all of it.

import { copyButton } from "../shell/copy.mjs";
import { announce, byId, fill } from "../shell/dom.mjs";
import { acceptFiles } from "../shell/drop.mjs";
import { decodeHex, encodeHex } from "../shared/hex.mjs";
import { decodeUtf8, encodeUtf8 } from "../shared/utf8.mjs";
import { byteFindings, hexFinding, loneFinding, textFindings } from "./findings.mjs";
import { intro, resultPanel, smallButton } from "./panels.mjs";
import { readBase64, writeBase64 } from "./read.mjs";
import { recognise } from "./recognise.mjs";

const SHOWN = 200_000;
const MOST_BYTES = 16_777_216;
const encoded = byId("encoded");
const content = byId("content-field");
const state = { bytes: new Uint8Array(), read: null, findings: [], wantsHex: false, encodedAll: "", name: "" };

const picked = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const pick = (name, value) => { document.querySelector(`input[name=${name}][value=${value}]`).checked = true; };

function encodedChanged() {
  const read = readBase64(encoded.value);
  Object.assign(state, { bytes: read.bytes, read, encodedAll: encoded.value, name: "", findings: textFindings(read, encoded.value) });
  if (read.letters > 0 && !read.fatal) followText(read);
  showContent();
  show();
}

/** What is written next is written as what was read. */
function followText({ alphabet, padding, wanted }) {
  if (alphabet === "standard" || alphabet === "url") pick("alphabet", alphabet);
  if (padding > 0 || wanted > 0) byId("padding").checked = padding > 0;
}

function contentChanged() {
  const isHex = picked("mode") === "hex";
  const text = content.value;
  state.read = null;
  state.name = "";
  if (isHex) {
    const { bytes, fatal } = decodeHex(text);
    Object.assign(state, { bytes, findings: fatal ? [hexFinding(fatal, text)] : [] });
  } else {
    const { bytes, lone } = encodeUtf8(text);
    Object.assign(state, { bytes, findings: lone === null ? [] : [loneFinding(lone)] });
  }
  byId("content-hint").textContent = "";
  showEncoded();
  show();
}

function showEncoded() {
  state.encodedAll = writeBase64(state.bytes, { alphabet: picked("alphabet"), padding: byId("padding").checked, line: Number(byId("line").value) });
  cutInto(encoded, state.encodedAll);
}

function showContent() {
  const { text, bad } = decodeUtf8(state.bytes);
  const mode = state.wantsHex || bad !== null ? "hex" : "text";
  pick("mode", mode);
  putContent(mode, text, bad);
}

function putContent(mode, text, bad) {
  const isHex = mode === "hex";
  content.classList.toggle("pairs", isHex);
  const all = isHex ? encodeHex(state.bytes.subarray(0, SHOWN / 3 + 1), " ") : text;
  const isCut = cutInto(content, all) || (isHex && state.bytes.length > SHOWN / 3);
  const isLossy = !isHex && bad !== null;
  content.readOnly = isCut || isLossy;
  byId("content-hint").textContent = isLossy
    ? "No UTF-8: what is no character is shown as �. So it can only be read here; as hex it can be changed."
    : isCut ? "Only the beginning is shown. “Copy” and “Save” give all of it." : "";
}

/** Put a text into a field; return whether it was too long for it. */
function cutInto(field, text) {
  const isCut = text.length > SHOWN;
  field.value = isCut ? `${text.slice(0, SHOWN)}` : text;
  field.readOnly = isCut;
  return isCut;
}

function optionsChanged() {
  if (state.bytes.length === 0 || state.read?.fatal) return;
  state.read = null;
  state.findings = [];
  showEncoded();
  show();
}

function show() {
  const { bytes, read } = state;
  const isEmpty = bytes.length === 0 && state.findings.length === 0 && (!read || read.letters === 0);
  byId("clear").hidden = encoded.value === "" && content.value === "";
  for (const one of document.querySelectorAll("#encoded-tools [aria-label], #content-tools [aria-label]")) one.disabled = bytes.length === 0;
  if (isEmpty) {
    fill(byId("results"), intro());
    announce("");
    return;
  }
  const what = recognise(bytes, Date.now() / 1000, { isBasic: read?.taken.some((one) => one.includes("Basic")) ?? false });
  // Nobody expects text of what is recognised as something else.
  const isPlain = what.kind === "bytes" || what.kind === "utf16";
  const ofBytes = byteFindings(bytes, decodeUtf8(bytes)).filter(({ code }) => isPlain || code !== "not_utf8");
  const found = [...state.findings, ...ofBytes];
  fill(byId("results"), resultPanel({ bytes, what, found, read, pasted: encoded.value, name: state.name, written: state.encodedAll.length }));
  announce(`${what.title}. ${found.length === 0 ? "Nothing is odd about it" : found[0].title}.`);
}

async function takeFile(file) {
  if (file.size > MOST_BYTES) return announce("This file is longer than 16 MB.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  Object.assign(state, { bytes, read: null, findings: [], name: file.name });
  showEncoded();
  showContent();
  show();
}

function save() {
  const { extension } = recognise(state.bytes, 0);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([state.bytes], { type: "application/octet-stream" }));
  link.download = `decoded.${extension}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function clear() {
  encoded.value = content.value = byId("file").value = "";
  content.readOnly = encoded.readOnly = false;
  encodedChanged();
  encoded.focus();
}

fill(byId("encoded-tools"), smallButton("Clear", clear, { id: "clear", hidden: true }), copyButton("the base64", () => state.encodedAll));
const whole = () => (picked("mode") === "hex" ? encodeHex(state.bytes, " ") : decodeUtf8(state.bytes).text);
fill(byId("content-tools"), smallButton("Save", save, { "aria-label": "Save the content as a file" }), copyButton("the content", whole));
encoded.addEventListener("input", encodedChanged);
content.addEventListener("input", contentChanged);
for (const one of document.querySelectorAll("input[name=alphabet], #padding, #line")) one.addEventListener("change", optionsChanged);
for (const one of document.querySelectorAll("input[name=mode]")) {
  one.addEventListener("change", () => {
    state.wantsHex = picked("mode") === "hex";
    const { text, bad } = decodeUtf8(state.bytes);
    putContent(picked("mode"), text, bad);
  });
}
byId("file").addEventListener("change", (event) => event.target.files[0] && takeFile(event.target.files[0]));
acceptFiles(encoded, takeFile);
acceptFiles(content, takeFile);
encodedChanged();
