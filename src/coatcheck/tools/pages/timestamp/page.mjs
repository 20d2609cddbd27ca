// The timestamp converter: one field, and the instant in every form beside it. Knows the document and the clock.
//
// Rules: what ticks is replaced in place: nothing that somebody is selecting is taken from under their hand.

import { copyButton } from "../shell/copy.mjs";
import { announce, byId, el, fill, hostile } from "../shell/dom.mjs";
import { findingsList } from "../shell/findings.mjs";
import { relative } from "../shared/time.mjs";
import { read } from "./read.mjs";
import { httpDate, isoExact, isoIn, mailDate, remarks, spanWords, units } from "./write.mjs";

const field = byId("moment");
const zoneField = byId("zone");
const results = byId("results");
const now = () => Date.now() / 1000;
const REMARKS = {
  beyond_2038: { level: "warn", title: "It does not fit into 32 bits with a sign", text: "Programs that keep seconds so see 1901 from 19 January 2038 on." },
  beyond_2106: { level: "warn", title: "It does not fit into 32 bits", text: "With a sign or without. Were milliseconds taken for seconds?" },
  before_1970: { level: "note", title: "It is before 1970", text: "The number is negative; some programs refuse that." },
  before_1901: { level: "warn", title: "It does not fit into 32 bits with a sign", text: "They begin on 13 December 1901." },
  before_gregorian: { level: "note", title: "It is before the Gregorian calendar", text: "Computers reckon it backwards all the same; documents of the time name another day." },
};
let ticking = null;

function show() {
  byId("clear").hidden = field.value === "";
  const found = read(field.value, now(), zoneField.value);
  ticking = null;
  if (field.value.trim() === "") {
    fill(results, intro());
    announce("");
    return;
  }
  fill(results, found.ns !== null && momentSheet(found), found.span !== null && spanSheet(found), found.ns === null && found.span === null && noneSheet(found));
  announce(found.ns !== null ? `${isoExact(found.ns)}.` : found.span !== null ? `${spanWords(found.span)}.` : "No time.");
}

function intro() {
  const lines = [
    ["Whatever unit", "Seconds, milliseconds, microseconds and nanoseconds are told apart by their length, and the other ways to read them are shown."],
    ["Whatever form", "ISO 8601, mail and HTTP dates, “in 15 minutes”; the clocks of every zone, with the hour that is skipped and the one that comes twice."],
    ["Durations, too", "900 is 15 minutes: what “expires_in” and “Max-Age” mean."],
  ];
  return el("section", { class: "intro", "aria-label": "What you will see" }, lines.map(([title, text]) => el("div", { class: "sheet" }, el("h2", {}, title), el("p", { class: "soft" }, text))));
}

function momentSheet({ form, ns, unit, others, twice }) {
  const at = Number(BigInt(ns) / 1_000_000n) / 1000;
  const zone = zoneField.value;
  const whole = units(ns);
  const when = el("span", { class: "tag" }, relative(at, now()));
  ticking = { at, when };
  const readAs = form === "number" ? `a number of ${unit} since 1970` : form === "relative" ? "a time from now" : form;
  return el(
    "section",
    { class: "sheet answer", "aria-labelledby": "answer-head", "data-ns": ns },
    el("div", { class: "head" }, el("h2", { id: "answer-head" }, isoExact(ns).replace("T", " ").replace("Z", " UTC")), when),
    el("p", { class: "hint" }, `Read as ${readAs}.`),
    rows([
      ["UTC", isoExact(ns)],
      [zone, zone === "UTC" ? null : isoIn(ns, zone)],
      ["Seconds", whole.seconds],
      ["Milliseconds", whole.milliseconds],
      ["Microseconds", whole.microseconds],
      ["Nanoseconds", whole.nanoseconds],
      ["HTTP", httpDate(ns)],
      ["Mail", mailDate(ns)],
    ]),
    findingsList([
      ...(twice === null ? [] : [{ code: "twice", level: "warn", title: "This hour comes twice in that zone", text: `The clocks are set back then. The second time is ${isoIn(twice, zone)}, or ${units(twice).seconds}.` }]),
      ...remarks(ns).map((code) => ({ code, ...REMARKS[code] })),
    ]),
    others.length > 0 && el("h3", {}, "If it were another unit"),
    others.length > 0 && rows(others.map((one) => [one.unit, isoExact(one.ns)])),
  );
}

function spanSheet({ span, ns }) {
  return el(
    "section",
    { class: "sheet span", "aria-labelledby": "span-head", "data-span": String(span) },
    el("h2", { id: "span-head" }, `${ns === null ? "" : "As a duration: "}${spanWords(span)}`),
    rows([["Seconds", String(span)], ["Minutes", String(span / 60)], ["From now", isoExact(BigInt(Math.round((now() + span) * 1000)) * 1_000_000n)]]),
  );
}

function noneSheet({ gap }) {
  const words = gap
    ? "The clocks of that zone skip this time: they are set forward then. Choose another zone, or write an offset behind it."
    : "That is no time that this page can read. Is the day in that month?";
  return el("section", { class: "sheet", "aria-label": "No time" }, el("p", { class: "say warn", "data-code": gap ? "gap" : "none" }, words));
}

function rows(all) {
  return el("dl", {}, all.filter(([, text]) => text !== null).map(([name, text]) => el(
    "div",
    { class: "row-of" },
    el("dt", {}, name),
    el("dd", {}, el("span", { class: "mono" }, hostile(text)), copyButton(name, () => text)),
  )));
}

const nowText = Object.fromEntries(["Seconds", "Milliseconds", "UTC"].map((name) => [name, el("span", { class: "mono" })]));
const nowForms = () => ({ Seconds: String(Math.floor(now())), Milliseconds: String(Date.now()), UTC: new Date().toISOString().replace(/\.\d+/, "") });

function tick() {
  for (const [name, text] of Object.entries(nowForms())) nowText[name].textContent = text;
  if (ticking) ticking.when.textContent = relative(ticking.at, now());
}

function fillZones() {
  const here = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const all = [...new Set([here, "UTC", ...Intl.supportedValuesOf("timeZone")])];
  fill(zoneField, all.map((name, index) => el("option", { value: name }, index === 0 ? `${name} (here)` : name)));
}

fillZones();
fill(byId("now"), el("dl", {}, Object.entries(nowText).map(([name, shown]) => el("div", { class: "row-of" }, el("dt", {}, name), el("dd", {}, shown, copyButton(`now in ${name}`, () => nowForms()[name]))))));
field.addEventListener("input", show);
zoneField.addEventListener("change", show);
byId("use-now").addEventListener("click", () => {
  field.value = nowForms().Seconds;
  show();
});
byId("clear").addEventListener("click", () => {
  field.value = "";
  show();
  field.focus();
});
setInterval(tick, 1000);
tick();
show();
