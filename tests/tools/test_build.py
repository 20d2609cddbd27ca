"""The pages as files: made from modules, whole, and allowed nothing but themselves."""

import base64
import hashlib
import html
import re
from html.parser import HTMLParser

import pytest

from coatcheck.server.tools import policy_of
from coatcheck.tools import TOOLS, build

EVERY = pytest.mark.parametrize("tool", build.ALL, ids=lambda tool: tool.name)
SOURCES = sorted(path for path in build.PAGES.rglob("*") if path.suffix in {".mjs", ".html", ".css"})
ROOTS = re.compile(r"--([\w-]+): (light-dark\([^)]*\)|[\w.]+);")

# Ways to make markup or code of a text, to keep or send something, to change the address or the title.
FORBIDDEN = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|DOMParser|createContextualFragment|setHTML|parseHTML",
    r"\beval\b|new Function|setTimeout\(\s*[\"'`]|import\(",
    r"localStorage|sessionStorage|indexedDB|\bcaches\b|document\.cookie|cookieStore|BroadcastChannel|SharedWorker",
    r"\bfetch\b|XMLHttpRequest|WebSocket|EventSource|sendBeacon|RTCPeer|new Worker|serviceWorker|postMessage|new Image",
    r"\blocation\b|history\.|document\.title|window\.open|window\.name",
    r"https?://(?!www\.w3\.org/2000/svg\b|auth\.example\.com\b)",
    r"\sstyle=|\son[a-z]+=\"",
)


class Reader(HTMLParser):
    """Notes every element with its attributes, and the text of styles and scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.inside = [], {}
        self._open = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag if tag in ("script", "style") else self._open

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open:
            self.inside[self._open] = self.inside.get(self._open, "") + data


def sha256(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@EVERY
@pytest.mark.parametrize("suffix", ["", ".html"])
def test_a_page_holds_all_it_needs(tool, suffix):
    """It loads nothing, leads to its neighbours only, and its policy allows exactly what is in it."""
    page = build.page(tool, suffix=suffix)
    read = Reader(page.text)
    policy = next(at["content"] for tag, at in read.elements if at.get("http-equiv") == "Content-Security-Policy")
    assert policy == page.policy
    assert policy.split("; ")[:3] == [
        "default-src 'none'",
        f"script-src {sha256(read.inside['script'])}",
        f"style-src {sha256(read.inside['style'])}",
    ]
    neighbours = {f"{one.name}{suffix}" for one in TOOLS} | {"./" if not suffix else "index.html", "#content"}
    for tag, attributes in read.elements:
        assert not {"src", "srcset", "action", "formaction", "poster", "ping", "style"} & set(attributes) or (
            tag == "img" and attributes["src"].startswith("data:image/svg+xml;base64,")
        )
        if "href" in attributes and tag == "a":
            assert attributes["href"] in neighbours or attributes["href"].startswith("#")
        elif "href" in attributes:
            assert tag == "link" and attributes["rel"] == "icon" and attributes["href"].startswith("data:")
        assert not [name for name in attributes if name.startswith("on")]
    assert [tag for tag, _ in read.elements].count("script") == 1
    assert "Content-Security-Policy" in page.text.splitlines()[4]  # as the page says to those who want to check
    # The policy comes before everything that it is to hold for.
    assert page.text.index("Content-Security-Policy") < page.text.index("<title>") < page.text.index("<style>")


@EVERY
def test_the_policy_of_the_server(tool):
    """A sandbox, and nothing allowed but the page's own script, style and pictures."""
    named = dict(part.partition(" ")[::2] for part in policy_of(build.page(tool, suffix="")).split("; "))
    for name in ("script-src", "style-src"):
        assert re.fullmatch(r"'sha256-[\w+/=]+'", named.pop(name))
    assert named == {
        "sandbox": "allow-scripts allow-downloads",
        "default-src": "'none'",
        "img-src": "data:",
        "connect-src": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
        "frame-ancestors": "'none'",
    }


def code_of(text):
    """The text of a module without its comments."""
    return re.sub(r"^\s*//[^\n]*|/\*\*.*?\*/", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(build.PAGES).as_posix())
def test_no_source_can_keep_or_send(path):
    """Nothing in our own text makes markup of text, keeps it, sends it, or shows it where others look."""
    text = code_of(path.read_text())
    if path.suffix == ".html":
        text = re.sub(r"<p>.*?</p>|<li>.*?</li>", "", text, flags=re.DOTALL)  # words for people
    assert [found[0] for rule in FORBIDDEN for found in re.finditer(rule, text)] == []


@pytest.mark.parametrize(
    "line",
    [
        "box.innerHTML = token",
        "document.title = sub",
        'localStorage.setItem("token", token)',
        "new Image().src = token",
        "location.hash = token",
        'fetch("https://example.com")',
        "setTimeout('x')",
    ],
)
def test_the_grep_can_fail(line):
    """A grep that finds nothing wrong in wrong lines would keep nothing."""
    module = (
        f"// What it is.\n//\n/** About {line} it says nothing. */\nexport function a() {{\n  // Why.\n  {line};\n}}\n"
    )
    code = code_of(module)
    assert code.count(line) == 1
    assert [rule for rule in FORBIDDEN if re.search(rule, code)]


@pytest.mark.parametrize("path", [path for path in SOURCES if path.suffix == ".mjs"], ids=lambda path: path.name)
def test_every_module_says_what_it_is(path):
    """As the modules in Python do, and none is long."""
    text = path.read_text()
    assert text.startswith("// ")
    assert len(text.splitlines()) <= 360


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if path.suffix == ".html"], ids=lambda path: path.parent.name
)
def test_fields_are_nobody_elses_business(path):
    """Spell checkers, translators and password managers of a browser may send what they read."""
    fields = [
        at for tag, at in Reader(path.read_text()).elements if tag == "textarea" or at.get("type") in ("text", "search")
    ]
    for attributes in fields:
        wanted = {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "off", "autocorrect": "off"}
        assert wanted.items() <= attributes.items() and attributes.get("translate") == "no"
        assert "name" not in attributes


def test_the_look_is_the_servers():
    """The colours have the same names and values on all pages of ours."""
    theirs = dict(ROOTS.findall((build.PAGES.parent.parent / "server" / "static" / "style.css").read_text()))
    ours = dict(ROOTS.findall((build.PAGES / "shell" / "style.css").read_text()))
    assert len(theirs) > 12
    assert theirs.items() <= ours.items()
    assert (build.PAGES / "shell" / "icon.svg").read_bytes() == (
        build.PAGES.parent.parent / "server" / "static" / "icon.svg"
    ).read_bytes()


def test_every_file_is_written(tmp_path):
    """Into a folder that is made, one per tool; again over what is there."""
    for _ in range(2):
        written = build.write(tmp_path / "a" / "b")
    assert [path.name for path in written] == [f"{tool.name}.html" for tool in build.ALL]
    for path, tool in zip(written, build.ALL, strict=True):
        assert path.read_bytes() == build.page(tool).text.encode()
        assert html.escape(tool.title) in path.read_text()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes modules, and bundles the first."""
    monkeypatch.setattr(build, "PAGES", tmp_path)

    def make(**texts):
        for name, text in texts.items():
            (tmp_path / f"{name}.mjs").write_text(text)
        return build.bundle(tmp_path / f"{next(iter(texts))}.mjs")

    return make


def test_modules_are_put_in_once_and_in_order(module):
    """What two of them need is there once, before both."""
    script = module(
        a='import { b } from "./b.mjs";\nimport { c as d } from "./c.mjs";\nb(d);\n',
        b='import {\n  c,\n} from "./c.mjs";\nexport function b() { return c; }\n',
        c="export const c = 1;\nexport class D {}\nexport async function e() {}\n",
    )
    assert script.count("const c = 1;") == 1
    assert script.index("const c = 1;") < script.index("function b()") < script.index("b(d);")
    assert "const { c: d } = module_c;" in script
    assert "return { c, D, e };" in script
    assert not re.search(r"^(import|export)", script, re.MULTILINE)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"a": 'import { b } from "./b.mjs";\n'}, "b.mjs is not there"),
        ({"a": 'import { b } from "../b.mjs";\n'}, "b.mjs is not there"),
        ({"a": 'import { b } from "./b.mjs";\n', "b": "export const c = 1;\n"}, "b.mjs exports no b"),
        ({"a": 'import { b } from "./b.mjs";\n', "b": "const b = 1;\n"}, "b.mjs exports no b"),
        ({"a": 'import { b } from "./b.mjs";\n', "b": 'import { a } from "./a.mjs";\n'}, "needs itself"),
        ({"a": 'import b from "./b.mjs";\n', "b": ""}, "cannot be put into a page"),
        ({"a": "export default 1;\n"}, "cannot be put into a page"),
        ({"a": "export { a };\n"}, "cannot be put into a page"),
        ({"a": 'const b = await import("./b.mjs");\n'}, "cannot be put into a page"),
    ],
)
def test_what_cannot_be_put_in_is_refused(module, texts, said):
    """While it is made, not when somebody opens it."""
    with pytest.raises(build.BuildError, match=said):
        module(**texts)


def test_a_script_cannot_end_itself(tmp_path, monkeypatch):
    """A text that a browser would take for the end of the script is refused."""
    (tmp_path / "shell").mkdir()
    (tmp_path / "jwt").mkdir()
    (tmp_path / "shell" / "style.css").write_text("")
    (tmp_path / "jwt" / "page.mjs").write_text('const a = "</SCRIPT>";\n')
    monkeypatch.setattr(build, "PAGES", tmp_path)
    with pytest.raises(build.BuildError, match="would end it early"):
        build.page.__wrapped__(TOOLS[0])
