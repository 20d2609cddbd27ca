// From answers to a verdict, by the rules in guide.mjs. Pure; coatcheck/tools/guide.py does the same, and a test holds the
// two to one answer for every combination.
//
// Rules: an answer to a question that is not asked does not count. Nothing is decided here that the data does not say.

import { OWN_CODE } from "./code.mjs";
import { GUIDE } from "./guide.mjs";

/** Whether a condition holds: one of its parts, with all of its answers. No condition always holds. */
export function holds(when, answers) {
  if (!when) return true;
  return when.some((part) => Object.entries(part).every(([id, wanted]) => wanted.includes(answers[id])));
}

/** The answers that count, in the order of the questions: those to questions that are asked. */
export function counted(answers) {
  const kept = {};
  for (const { id, asked, answers: possible } of GUIDE.questions) {
    if (holds(asked, kept) && possible.some((one) => one.id === answers[id])) kept[id] = answers[id];
  }
  return kept;
}

/** The questions that are asked, given these answers; one that depends on an open one is not, until that is answered. */
export function asked(answers) {
  const kept = counted(answers);
  return GUIDE.questions.filter((question) => holds(question.asked, kept)).map(({ id }) => id);
}

/** The verdicts that are still possible, in the order of the data. */
export function possible(answers) {
  const found = new Set();
  reach(0, {}, answers, found);
  return Object.keys(GUIDE.verdicts).filter((name) => found.has(name));
}

function reach(index, kept, answers, found) {
  const question = GUIDE.questions[index];
  if (!question) {
    found.add(ruleOf(kept).verdict);
    return;
  }
  if (!holds(question.asked, kept)) {
    reach(index + 1, kept, answers, found);
    return;
  }
  const given = question.answers.filter(({ id }) => id === answers[question.id]);
  for (const { id } of given.length ? given : question.answers) reach(index + 1, { ...kept, [question.id]: id }, answers, found);
}

function ruleOf(kept) {
  return GUIDE.rules.find(({ when }) => holds(when, kept));
}

/** What to take, why, and what one gives up; null while a question is open. */
export function decide(answers) {
  const kept = counted(answers);
  if (asked(answers).some((id) => !(id in kept))) return null;
  const { id, verdict } = ruleOf(kept);
  const said = (list) => list.filter((one) => one.for.includes(verdict) && holds(one.when, kept)).map(({ text }) => text);
  return { verdict, rule: id, answers: kept, reasons: said(GUIDE.reasons), gives_up: said(GUIDE.gives_up) };
}

/** Bytes that each way adds to a request. */
export function bytesPerRequest() {
  const bytes = {};
  for (const [name, parts] of Object.entries(GUIDE.carried)) {
    bytes[name] = parts.reduce((sum, { line, of }) => sum + line.length + GUIDE.measured[of], 0);
  }
  return bytes;
}

/** The starting code for a verdict: the framework's own, or what those of one kind share with its names put in. */
export function startingCode(verdict, framework) {
  const found = GUIDE.frameworks.find(({ id }) => id === framework);
  const pieces = { ...GUIDE.pieces, import: found.import, app: found.app };
  const lines = (OWN_CODE[framework] ?? GUIDE.code)[verdict].flatMap((line) => pieces[line.match(/^\{(\w+)\}$/)?.[1]] ?? [line]);
  return `${spaced(lines).join("\n")}\n`;
}

/** Two empty lines around functions, as Python's readers are used to. */
function spaced(lines) {
  return lines.flatMap((line, index) => (line === "" && aroundFunction(lines, index) ? ["", ""] : [line]));
}

function aroundFunction(lines, index) {
  return /^(?:async def |def |@)/.test(lines[index + 1] ?? "") || (lines[index - 1] ?? "").startsWith("    ");
}
