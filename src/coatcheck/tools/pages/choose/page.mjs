// The guide: questions, the path as a tree, a verdict, bytes a day and starting code. Knows the document.
//
// Rules: what is asked and said stands in guide.mjs, and is decided in decide.mjs; here it is only shown. A question keeps its
// place and its focus while others come and go. An answer that was given is kept when its question is not asked for a while.

import { copyButton } from "../shell/copy.mjs";
import { announce, byId, el, fill } from "../shell/dom.mjs";
import { asked, bytesPerRequest, counted, decide, possible, startingCode } from "./decide.mjs";
import { GUIDE } from "./guide.mjs";
import { inDigits, readCount, sizeOf } from "./sizes.mjs";
import { drawTree, pathInWords } from "./tree.mjs";

const answers = {};
const fields = new Map();

function fieldOf({ id, text, help, answers: possibleAnswers }) {
  const picks = possibleAnswers.map((answer) => {
    const radio = el("input", { type: "radio", name: id, value: answer.id, "aria-describedby": `help-${id}` });
    radio.autocomplete = "off";
    radio.addEventListener("change", () => {
      answers[id] = answer.id;
      show();
    });
    return el("label", { class: "pick" }, radio, el("span", {}, answer.text));
  });
  return el("fieldset", { id: `ask-${id}`, class: "ask" }, el("legend", {}, text), el("p", { class: "hint", id: `help-${id}` }, help), picks);
}

function show() {
  const kept = counted(answers);
  const toAsk = asked(answers);
  for (const [id, field] of fields) field.hidden = !toAsk.includes(id);
  byId("again").hidden = Object.keys(answers).length === 0;
  const left = possible(answers);
  fill(byId("tree"), drawTree(kept, toAsk, left));
  fill(byId("path"), pathInWords(kept, toAsk, left));
  const found = decide(answers);
  fill(byId("verdict"), found ? verdictOf(found) : openPanel(kept, toAsk, left));
  showWire();
  showCode();
  const open = toAsk.length - Object.keys(kept).length;
  if (Object.keys(answers).length === 0) announce("");
  else announce(found ? `Verdict: ${GUIDE.verdicts[found.verdict].title}.` : `${questions(open)} to go.`);
}

const questions = (count) => `${count} ${count === 1 ? "question" : "questions"}`;

function openPanel(kept, toAsk, left) {
  const names = left.map((name) => GUIDE.verdicts[name].short);
  const open = toAsk.length - Object.keys(kept).length;
  const hint = names.length === 1
    ? `It will be: ${names[0]}. The rest says why, and what you give up.`
    : `Still possible: ${names.join(", ")}.`;
  return el("section", { class: "sheet open-verdict", "data-verdict": "open" }, el("h2", {}, `${questions(open)} to go`), el("p", { class: "soft" }, hint), el("p", {}, GUIDE.honesty));
}

function verdictOf({ verdict, reasons, gives_up: givesUp }) {
  const { title, text } = GUIDE.verdicts[verdict];
  return el(
    "section",
    { class: "sheet chosen-verdict", "data-verdict": verdict },
    el("h2", {}, title),
    el("p", { class: "lead" }, text),
    el("h3", {}, "Because"),
    el("ul", { class: "because" }, reasons.map((one) => el("li", {}, one))),
    el("h3", {}, "What you give up"),
    el("ul", { class: "gives-up" }, givesUp.map((one) => el("li", {}, one))),
    el("p", { class: "hint" }, GUIDE.honesty),
  );
}

function showWire() {
  const count = readCount(byId("requests").value, GUIDE.bandwidth.most);
  byId("requests-problem").textContent = count === null ? `A whole number, up to ${inDigits(BigInt(GUIDE.bandwidth.most))}.` : "";
  byId("requests").setAttribute("aria-invalid", String(count === null));
  const chosen = decide(answers)?.verdict;
  const each = Object.entries(bytesPerRequest());
  const rows = each.map(([name, bytes]) => el(
    "tr",
    { class: name === chosen && "chosen", "data-way": name },
    el("th", { scope: "row" }, GUIDE.verdicts[name].short, name === chosen && el("span", { class: "tag" }, "yours")),
    el("td", {}, String(bytes)),
    el("td", {}, count === null ? "?" : sizeOf(count * BigInt(bytes))),
  ));
  const head = ["Way", "Bytes a request", "A day"].map((words) => el("th", { scope: "col" }, words));
  fill(
    byId("wire"),
    el("table", { class: "wire" }, el("thead", {}, el("tr", {}, head)), el("tbody", {}, rows)),
    el("p", { class: "hint" }, GUIDE.bandwidth.note),
  );
}

let code = "";

function showCode() {
  const found = decide(answers);
  byId("start").hidden = !found;
  if (!found) return;
  code = startingCode(found.verdict, byId("framework").value);
  fill(byId("code"), el("pre", { class: "output scroll", tabindex: "0", role: "region", "aria-label": "The code" }, code));
}

function startAgain() {
  for (const id of Object.keys(answers)) delete answers[id];
  for (const radio of document.querySelectorAll("#questions input")) radio.checked = false;
  show();
  document.querySelector("#questions input").focus();
}

for (const question of GUIDE.questions) fields.set(question.id, fieldOf(question));
fill(byId("questions"), [...fields.values()]);
byId("requests-label").textContent = GUIDE.bandwidth.text;
byId("requests").value = inDigits(BigInt(GUIDE.bandwidth.usual));
fill(byId("framework"), GUIDE.frameworks.map(({ id, name }) => el("option", { value: id }, name)));
fill(byId("copy-code"), copyButton("the starting code", () => code));
byId("requests").addEventListener("input", showWire);
byId("framework").addEventListener("change", showCode);
byId("again").addEventListener("click", startAgain);
show();
