"""The cookie reader as people use it: paste, read, copy, drop; from the server and from a file."""

import pytest
from playwright.sync_api import expect
from tests.browser.tools.test_base64 import CODES, DROP, MADE_OF_TEXT
from tests.browser.tools.test_every_page import address
from tests.tools.vectors import NOW

from coatcheck.tools import TOOLS

pytestmark = pytest.mark.browser

COOKIES = next(tool for tool in TOOLS if tool.name == "cookies")


@pytest.fixture
def open_it(visit):
    """Opens the page at the time of the vectors."""

    def do(base, **kwargs):
        page = visit(address(base, COOKIES), **kwargs)
        page.clock.set_fixed_time(NOW)
        return page

    return do


def header(page):
    return page.get_by_role("textbox", name="Set-Cookie")


def test_the_story(base, open_it):
    """Paste, read, copy the better line, paste that: nothing is asked for, and nothing is left of it."""
    page = open_it(base)
    before = page.title(), page.url
    header(page).fill("Set-Cookie: sid=abc; Max-Age=600")
    expect(page.get_by_role("heading", name="sid: Kept for 10 minutes")).to_be_visible()
    assert page.evaluate(CODES) == ["no_secure", "no_httponly", "no_samesite", "no_prefix"]
    line = "Set-Cookie: __Host-sid=abc; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"
    expect(page.locator("[data-better='0']")).to_have_text(line)
    page.get_by_role("button", name="Copy the better line for cookie 1").click()
    expect(page.locator("#announcer")).to_have_text("Copied: the better line for cookie 1.")
    header(page).fill(line)
    expect(page.get_by_text("Nothing to better")).to_be_visible()
    assert page.evaluate(CODES) == []
    page.get_by_role("button", name="Example").click()
    expect(page.get_by_role("heading", name="The response")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".fate")).to_have_count(0)
    assert (page.title(), page.url) == before and page.context.cookies() == []


def test_by_keyboard_alone(served, open_it):
    """Type, and come to the button that copies."""
    page = open_it(served)
    header(page).focus()
    page.keyboard.type("a=b; Secure")
    expect(page.locator(".fate")).to_have_count(1)
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Copy the better line for cookie 1":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text("Copied: the better line for cookie 1.")


def test_what_is_hostile_stays_text(served, open_it):
    """Markup in names, values and attributes; a dropped response; and eight megabytes."""
    page = open_it(served)
    made = page.evaluate(MADE_OF_TEXT)
    header(page).fill("<img src=x onerror=alert(1)>=<script>alert(1)</script>; <b>=\u202e; Domain=<i>")
    expect(page.locator(".fate")).to_have_count(1)
    assert page.evaluate(MADE_OF_TEXT) == made
    page.evaluate(DROP, ["#header", list(b"HTTP/1.1 200 OK\nSet-Cookie: dropped=1\n")])
    expect(page.get_by_role("heading", name="dropped")).to_be_visible()
    page.evaluate("""() => {
      const field = document.querySelector("#header");
      field.value = "a=b; x=y;".repeat(932_000);
      field.dispatchEvent(new Event("input"));
    }""")
    expect(page.locator(".fate")).to_have_count(1)
    assert page.context.cookies() == []
