"""What holds for every tool: by day and by night, on a phone and a desk, by keyboard, and with nobody asked."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.tools.pictures import PIXEL
from tests.tools.vectors import BY_NAME, KEYS

from coatcheck.tools import TOOLS, build

pytestmark = pytest.mark.browser

SHOTS = Path(__file__).parent.parent.parent.parent / "screenshots"
SUFFIX = {"served": "", "files": ".html"}
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# WCAG 2.2, 2.5.8.
SMALL = """
  [...document.querySelectorAll("a, button, select, summary, input:not([type=hidden])")]
    .filter(one => one.checkVisibility() && !one.closest(".jump") && !one.closest(".unseen"))
    .filter(one => {
      const box = (one.closest("label") ?? one).getBoundingClientRect();
      return box.width < 24 || box.height < 24;
    })
    .map(one => one.outerHTML)
"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = """async rules => (await axe.run({runOnly: rules})).violations
    .map(one => [one.id, one.nodes.map(node => node.html)])"""


def show_token(name, *, fits=None):
    """Paste a token of tokens.json, and the right key for it or another."""

    def do(page):
        page.get_by_role("textbox", name="Token").fill(BY_NAME[name]["token"])
        if fits is not None:
            page.get_by_label("Secret or public key").fill(KEYS["p256" if fits else "other"]["pem"])
            words = "The signature fits" if fits else "Not genuine"
            expect(page.locator(".verdict h2")).to_contain_text(words)

    return do


def answer(*labels):
    """Answers questions of the guide."""

    def do(page):
        for label in labels:
            page.get_by_label(label).check()

    return do


def decode(text, kind):
    """Paste *text* as base64, and see what is in it."""

    def do(page):
        page.get_by_role("textbox", name="Base64").fill(text)
        expect(page.locator("#what-head")).to_have_attribute("data-kind", kind)

    return do


def set_cookies(*lines):
    """Paste lines of a response."""

    def do(page):
        page.get_by_role("textbox", name="Set-Cookie").fill("\n".join(lines))
        expect(page.locator(".fate")).to_have_count(len(lines))

    return do


def show_time(text, what=".answer"):
    """Type a time."""

    def do(page):
        page.get_by_role("textbox", name="Time").fill(text)
        expect(page.locator(what).first).to_be_visible()

    return do


# How a page gets something into it, so that it is looked at as people see it: {state: what to do with the page}.
FILLED = {
    "choose": {
        "half": lambda page: page.get_by_label("Several services of our own").check(),
        "decided": answer(
            "Several services of our own",
            "Each service by itself",
            "Both: pages in browsers",
            "Yes: the very next",
            "Yes: they keep",
            "No: as little",
        ),
    },
    "index": {"open": lambda page: page.locator(".promise summary").click()},
    "jwt": {
        "open": lambda page: page.locator(".promise summary").click(),
        "hostile": show_token("markup and controls"),
        "careless": show_token("RFC 7515, appendix A.1"),
        "broken": show_token("no comma"),
        "encrypted": show_token("encrypted"),
        "long": show_token("too long for a cookie"),
        "opaque": show_token("a session token"),
        "fits": show_token("every kind of value", fits=True),
        "forged": show_token("every kind of value", fits=False),
    },
    "base64": {
        "json": decode('"eyJhIjp7ImIiOjF9fQ"', "json"),
        "broken": decode("aGVsbG8*d29y", "text"),
        "picture": decode(f"data:image/png;base64,{PIXEL}", "picture"),
        "certificate": decode(KEYS["p256"]["certificate"], "certificate"),
    },
    "timestamp": {
        "number": show_time("1800000000"),
        "duration": show_time("900", ".span"),
        "far": show_time("-99999999999"),
        "none": show_time("2026-02-31", "[data-code=none]"),
    },
    "cookies": {
        "careless": set_cookies("Set-Cookie: session=17; Domain=.example.com; Max-Age=99999999; HtpOnly"),
        "every fate": set_cookies(
            "a=b; SameSite=None",
            "c=; Max-Age=0",
            "__Host-d=e; Path=/; Secure; HttpOnly; SameSite=Lax",
            f"{'long-name-' * 9}={'x' * 500}; Path=/app",
        ),
    },
}


def address(base, tool):
    """Where a tool is below *base*."""
    suffix = ".html" if base.startswith("file:") else ""
    return base + (tool.name + suffix if suffix or tool in TOOLS else "")


@pytest.mark.parametrize("tool", build.ALL, ids=lambda tool: tool.name)
@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.long)])
@pytest.mark.parametrize("states", ["one", pytest.param("all", marks=pytest.mark.long)])
def test_every_page(served, visit, axe, tool, width, states):
    """Nothing scrolls sideways or is tiny, and axe-core finds nothing, empty and filled, by day and by night."""
    page = visit(address(served, tool), viewport={"width": width, "height": 800})
    expect(page.get_by_role("heading", level=1)).to_have_text(tool.title)
    assert page.title() == f"{tool.title} · Coatcheck"
    filled = list({"empty": lambda page: None, **FILLED[tool.name]}.items())
    for state, fill in filled[-1:] if states == "one" else filled:
        fill(page)
        page.evaluate(PAINTED)
        assert page.evaluate(OVERFLOW) <= 0, state
        assert page.evaluate(SMALL) == [], state
        if os.environ.get("SCREENSHOTS"):
            take_pictures(page, f"tool-{tool.name}-{state}-{width}")
        # Before axe-core, whose own work is none of the page's.
        assert page.evaluate("window.violations") == []
        page.evaluate(axe)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(AXE, RULES) == [], (state, scheme)


def take_pictures(page, name):
    """By day and by night, for people to look at."""
    SHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=SHOTS / f"{name}-{scheme}.png", full_page=True)


def test_the_pages_lead_to_each_other(base, profile):
    """From the list to each tool and back, from the server and from files."""
    page = profile().new_page()
    page.goto(address(base, build.INDEX))
    for tool in TOOLS:
        page.get_by_role("main").get_by_role("link", name=tool.title).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(tool.title)
        expect(page.get_by_role("navigation").get_by_role("link", name=tool.short)).to_have_attribute(
            "aria-current", "page"
        )
        page.get_by_role("link", name="Coatcheck tools").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(build.INDEX.title)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_a_page_on_the_server_is_in_nobodys_origin(served, visit, tool):
    """Whatever a hostile token might achieve there, it finds no origin, no storage, no way out."""
    page = visit(address(served, tool))
    assert page.evaluate("window.origin") == "null"
    assert page.evaluate("(() => { try { return typeof localStorage } catch (error) { return error.name } })()") == (
        "SecurityError"
    )
    assert page.evaluate("(() => { try { return document.cookie } catch (error) { return error.name } })()") == (
        "SecurityError"
    )
    assert page.evaluate("isSecureContext && Boolean(crypto.subtle)")


def test_the_policy_holds(served, profile):
    """The browser itself refuses what a page might be talked into: markup, requests, pictures, forms."""
    page = profile().new_page()
    page.goto(address(served, TOOLS[0]))
    refused = page.evaluate("""async () => {
      const found = [];
      document.addEventListener("securitypolicyviolation", event => found.push(event.effectiveDirective));
      await fetch("/somewhere").catch(() => 0);
      try { document.body.innerHTML = "<b>x</b>" } catch { found.push("no markup") }
      try { document.createElement("script").text = "1" } catch { found.push("no code") }
      new Image().src = "/picture";
      const form = document.createElement("form");
      form.action = "/form";
      document.body.append(form);
      form.submit();
      await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
      return found;
    }""")
    assert {"connect-src", "img-src", "no markup", "no code"} <= set(refused)
