// The path as a drawing: each question a fork, each answer a branch, at the end the verdicts. It fills in as one answers.
// Makes elements of a drawing, and the same in words.
//
// Rules: whatever the drawing says, the words beside it say, too: open questions, those that are not asked, and which
// verdicts are still possible. A colour never says anything alone: what was chosen is also bold and has a heavier edge.

import { el, svg } from "../shell/dom.mjs";
import { GUIDE } from "./guide.mjs";

const WIDTH = 400;
const STEP = 96;
const BRANCH_Y = 44;
const BOX = 32;
const GAP = 8;
const LEAF = 44;

const place = (count, index) => {
  const width = Math.min(150, (WIDTH - GAP * (count - 1)) / count);
  const left = (WIDTH - count * width - (count - 1) * GAP) / 2;
  return { x: left + index * (width + GAP), width, middle: left + index * (width + GAP) + width / 2 };
};

/** The drawing. *kept*: the answers that count; *asked*: the questions that are; *possible*: the verdicts left. */
export function drawTree(kept, asked, possible) {
  const verdicts = Object.entries(GUIDE.verdicts);
  const lines = [];
  const shapes = [];
  let from = null;
  let y = 20;
  for (const question of GUIDE.questions.filter(({ id }) => asked.includes(id))) {
    from = fork(question, kept[question.id], from, y, lines, shapes);
    y += STEP;
  }
  const leafY = y + 14;
  verdicts.forEach(([name, { short }], index) => {
    const at = place(verdicts.length, index);
    const isLeft = possible.includes(name);
    const isOnly = isLeft && possible.length === 1;
    if (isLeft) lines.push(branch(from.x, from.y, at.middle, leafY, isOnly));
    shapes.push(box(short, at, leafY, LEAF, `leaf ${isOnly ? "chosen" : isLeft ? "open" : "out"}`, name));
  });
  const height = leafY + LEAF + 4;
  return svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "tree", role: "img", "aria-labelledby": "tree-head", "aria-describedby": "path" }, lines, shapes);
}

function fork({ id, short, answers }, given, from, y, lines, shapes) {
  const isOpen = given === undefined;
  if (from) lines.push(branch(from.x, from.y, WIDTH / 2, y - 14, from.isOn));
  shapes.push(svg("text", { x: WIDTH / 2, y, class: `ask${isOpen ? " now" : ""}`, "data-question": id }, short));
  let end = { x: WIDTH / 2, y: y + BRANCH_Y - 16 + BOX, isOn: false };
  answers.forEach((answer, index) => {
    const at = place(answers.length, index);
    const isChosen = answer.id === given;
    lines.push(branch(WIDTH / 2, y + 6, at.middle, y + BRANCH_Y - 16, isChosen));
    shapes.push(box(answer.short, at, y + BRANCH_Y - 16, BOX, isChosen ? "chosen" : isOpen ? "open" : "out", answer.id));
    if (isChosen) end = { x: at.middle, y: y + BRANCH_Y - 16 + BOX, isOn: true };
  });
  return end;
}

function branch(x1, y1, x2, y2, isOn) {
  const middle = (y1 + y2) / 2;
  return svg("path", { d: `M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`, class: isOn ? "branch on" : "branch" });
}

function box(words, { x, width, middle }, y, height, kind, id) {
  return svg(
    "g",
    { class: kind, "data-answer": id },
    svg("rect", { x: x + 1, y, width: width - 2, height, class: "box" }),
    svg("text", { x: middle, y: y + height / 2 + 4.5 }, words),
  );
}

/** The same in words: a list of what was asked and answered, and what is left. */
export function pathInWords(kept, asked, possible) {
  const said = GUIDE.questions.map((question) => {
    const answer = question.answers.find(({ id }) => id === kept[question.id]);
    if (answer) return el("li", {}, `${question.text} `, el("b", {}, answer.text));
    if (asked.includes(question.id)) return el("li", {}, `${question.text} `, el("i", {}, "open"));
    return null;
  });
  const names = possible.map((name) => GUIDE.verdicts[name].short);
  const left = names.length === 1 ? `Only one is left: ${names[0]}.` : `Still possible: ${names.join(", ")}.`;
  return [el("ol", {}, said), el("p", {}, left)];
}
