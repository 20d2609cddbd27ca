// The cookie reader: what is pasted on the left, what a browser makes of it on the right. Knows the document and the clock.
//
// Rules: nothing that is pasted becomes a cookie: this page never sets one.

import { copyButton } from "../shell/copy.mjs";
import { announce, byId, el, fill, hostile } from "../shell/dom.mjs";
import { acceptText } from "../shell/drop.mjs";
import { factsList, findingsList } from "../shell/findings.mjs";
import { relative, utc } from "../shared/time.mjs";
import { cookieFindings, corrected, endOf, fate, responseFindings } from "./judge.mjs";
import { readText } from "./read.mjs";

const EXAMPLE = "HTTP/1.1 200 OK\nContent-Type: text/html\nSet-Cookie: session=8f4e2c6a90b1d7; Domain=.example.com; Path=/; Expires=Fri, 31 Dec 2027 23:59:59 GMT\n";
const MOST_CHARACTERS = 200_000;
const field = byId("header");
const results = byId("results");
const now = () => Date.now() / 1000;

function intro() {
  const lines = [
    ["What a browser does", "Keeps it, and for how long; sends it, and where; or refuses it, and why."],
    ["What is missing", "HttpOnly, Secure, SameSite, a prefix; a Domain that is too wide, a lifetime that is too long."],
    ["A better line", "The same cookie as it should be set, to copy."],
  ];
  return el("section", { class: "intro", "aria-label": "What you will see" }, lines.map(([title, text]) => el("div", { class: "sheet" }, el("h2", {}, title), el("p", { class: "soft" }, text))));
}

function show() {
  byId("clear").hidden = field.value === "";
  const read = readText(field.value.slice(0, MOST_CHARACTERS));
  if (read.cookies.length === 0) {
    const sent = read.isSent && el("section", { class: "sheet", "aria-label": "A Cookie header" }, el("p", { class: "say warn" }, "This is a Cookie header: what a browser sends back. It has names and values only; what they are set with stands in the response, as Set-Cookie."));
    const none = !read.isSent && field.value.trim() !== "" && el("section", { class: "sheet", "aria-label": "No cookie" }, el("p", { class: "say warn" }, "No cookie is set in this."));
    fill(results, sent || none || intro());
    announce(sent ? "A Cookie header." : "");
    return;
  }
  const at = now();
  const all = responseFindings(read);
  fill(
    results,
    all.length > 0 && el("section", { class: "sheet", "aria-labelledby": "response-head" }, el("h2", { id: "response-head" }, "The response"), findingsList(all)),
    read.cookies.map((cookie, index) => sheet(cookie, index, at)),
    read.more > 0 && el("p", { class: "hint" }, `And ${read.more.toLocaleString("en")} more, which are not shown.`),
  );
  announce(read.cookies.length === 1 ? `${fate(read.cookies[0], at).title}.` : `${read.cookies.length} cookies.`);
}

function sheet(cookie, index, at) {
  const done = fate(cookie, at);
  const found = cookieFindings(cookie, at);
  const better = corrected(cookie, at);
  const id = `cookie-${index}`;
  return el(
    "section",
    { class: `sheet fate ${done.kind}`, "aria-labelledby": id, "data-kind": done.kind },
    el("h2", { id }, el("span", { class: "theirs", translate: "no" }, hostile(cookie.name || "(no name)", 200)), `: ${done.title}`),
    el("p", { class: "soft" }, hostile(done.text, 500)),
    findingsList(found),
    better !== null && better !== cookie.line && el("div", { class: "head" }, el("h3", {}, "A better line"), copyButton(`the better line for cookie ${index + 1}`, () => `Set-Cookie: ${better}`)),
    better !== null && better !== cookie.line && el("pre", { class: "output theirs", translate: "no", "data-better": String(index) }, hostile(`Set-Cookie: ${better}`, 1500)),
    better !== null && better === cookie.line && el("p", { class: "say" }, "Nothing to better: this is how a session's cookie is set."),
    el("h3", {}, "Part by part"),
    factsList(parts(cookie, at)),
  );
}

function parts({ name, value, takes, bytes, attributes }, at) {
  const theirs = (text, most = 300) => el("span", { class: "theirs mono", translate: "no" }, hostile(text, most));
  const said = (key) => attributes.some((one) => one.key === key);
  const end = endOf(takes, at);
  return [
    ["Name", name !== "" && theirs(name)],
    ["Value", value === "" ? "empty" : theirs(value)],
    ["Size", `${bytes.toLocaleString("en")} bytes of 4,096`],
    ["Secure", takes.secure ? "over https only" : "missing"],
    ["HttpOnly", takes.httpOnly ? "no script can read it" : "missing: scripts can read it"],
    ["SameSite", takes.sameSite ? { Strict: "Strict: never when the request comes from another site; not even by a link", Lax: "Lax: from another site only when somebody follows a link", None: "None: always, whoever asks" }[takes.sameSite] : said("samesite") ? "not understood: as if it were missing" : "missing"],
    ["Domain", takes.domain ? [theirs(takes.domain), " and every host below it"] : "none: this host alone"],
    ["Path", takes.path ? theirs(takes.path) : "none: beside the address that set it"],
    ["Max-Age", takes.maxAge !== null && `${takes.maxAge.toLocaleString("en")} seconds`],
    ["Expires", takes.expires !== null ? `${utc(takes.expires)}${takes.maxAge !== null ? "; Max-Age goes before it" : ""}` : said("expires") && "not understood: as if it were missing"],
    ["Ends", end === null ? "when the browser is closed" : end <= at ? "at once" : `${utc(end)}, ${relative(end, at)}`],
    ["Partitioned", takes.partitioned && "one for each site that embeds it"],
  ];
}

field.addEventListener("input", show);
byId("clear").addEventListener("click", () => {
  field.value = "";
  show();
  field.focus();
});
byId("example").addEventListener("click", () => {
  field.value = EXAMPLE;
  show();
});
acceptText(field);
show();
