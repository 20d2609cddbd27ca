"""What holds for every tool: by day and by night, on a phone and a desk, by keyboard, and with nobody asked."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

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

# How a page gets something into it, so that it is looked at as people see it: name -> what to do with the page.
FILLED = {
    "index": lambda page: None,
    "jwt": lambda page: None,
}


def address(base, tool):
    """Where a tool is below *base*."""
    suffix = ".html" if base.startswith("file:") else ""
    return base + (tool.name + suffix if suffix or tool in TOOLS else "")


@pytest.mark.parametrize("tool", build.ALL, ids=lambda tool: tool.name)
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page(served, visit, axe, tool, width):
    """Nothing scrolls sideways or is tiny, and axe-core finds nothing, empty and filled, by day and by night."""
    page = visit(address(served, tool), viewport={"width": width, "height": 800})
    expect(page.get_by_role("heading", level=1)).to_have_text(tool.title)
    assert page.title() == f"{tool.title} · Coatcheck"
    for state in ("empty", "filled"):
        if state == "filled":
            page.locator(".promise summary").click()
            FILLED[tool.name](page)
        page.evaluate(PAINTED)
        assert page.evaluate(OVERFLOW) <= 0, state
        assert page.evaluate(SMALL) == [], state
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            if os.environ.get("SCREENSHOTS"):
                SHOTS.mkdir(exist_ok=True)
                page.screenshot(path=SHOTS / f"tool-{tool.name}-{state}-{width}-{scheme}.png", full_page=True)
        # Before axe-core, whose own work is none of the page's.
        assert page.evaluate("window.violations") == []
        page.evaluate(axe)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(AXE, RULES) == [], (state, scheme)


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
