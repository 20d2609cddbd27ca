"""The timestamp converter as people use it: type, read, choose a zone, copy; from the server and from a file."""

import pytest
from playwright.sync_api import expect
from tests.browser.tools.test_base64 import MADE_OF_TEXT
from tests.browser.tools.test_every_page import address
from tests.tools.vectors import NOW

from coatcheck.tools import TOOLS

pytestmark = pytest.mark.browser

TIME = next(tool for tool in TOOLS if tool.name == "timestamp")


@pytest.fixture
def open_it(visit):
    """Opens the page at the time of the vectors; its clock goes when it is told to."""

    def do(base, **kwargs):
        page = visit(address(base, TIME), **kwargs)
        page.clock.set_fixed_time(NOW)
        return page

    return do


def field(page):
    return page.get_by_role("textbox", name="Time")


def answer(page):
    return page.locator(".answer")


def test_the_story(base, open_it):
    """A number, a date in a zone, a time from now, a duration; and nothing is asked for."""
    page = open_it(base)
    before = page.title(), page.url
    field(page).fill("1700000000123")
    expect(answer(page)).to_have_attribute("data-ns", "1700000000123000000")
    expect(answer(page)).to_contain_text("a number of milliseconds")
    page.get_by_label("Zone").select_option("Europe/Berlin")
    expect(answer(page)).to_contain_text("2023-11-14T23:13:20+01:00")
    page.get_by_role("button", name="Copy Seconds", exact=True).click()
    expect(page.locator("#announcer")).to_have_text("Copied: Seconds.")
    field(page).fill("2026-10-25 02:30")
    expect(page.locator("[data-code=twice]")).to_contain_text("2026-10-25T02:30:00+01:00")
    field(page).fill("2026-03-29 02:30")
    expect(page.locator("[data-code=gap]")).to_be_visible()
    field(page).fill("900")
    expect(page.locator(".span")).to_contain_text("15 minutes")
    field(page).fill("in 15 minutes")
    expect(answer(page)).to_contain_text("in 15 minutes")
    page.get_by_role("button", name="Clear").click()
    expect(answer(page)).to_have_count(0)
    assert (page.title(), page.url) == before


def test_now_goes_on(served, open_it):
    """The clock, and how long ago it was."""
    page = open_it(served)
    field(page).fill(str(NOW - 59))
    expect(page.locator(".answer .tag")).to_have_text("59 seconds ago")
    page.clock.set_fixed_time(NOW + 1)
    expect(page.locator(".answer .tag")).to_have_text("1 minute ago")
    expect(page.locator("#now")).to_contain_text(str(NOW + 1))
    page.get_by_role("button", name="Now", exact=True).click()
    expect(field(page)).to_have_value(str(NOW + 1))


def test_by_keyboard_alone(served, open_it):
    """Type, and come to the first button that copies."""
    page = open_it(served)
    field(page).focus()
    page.keyboard.type("1800000000")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Copy Seconds":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#announcer")).to_have_text("Copied: Seconds.")


@pytest.mark.long
def test_what_is_hostile_stays_text(served, open_it):
    """Markup, and eight megabytes."""
    page = open_it(served)
    made = page.evaluate(MADE_OF_TEXT)
    for text in ("<img src=x onerror=alert(1)>", "1" * 8_388_608, "\u202e2026-01-01"):
        page.evaluate(
            """text => {
              const field = document.querySelector("#moment");
              field.value = text;
              field.dispatchEvent(new Event("input"));
            }""",
            text,
        )
        expect(page.locator("[data-code=none]")).to_be_visible()
    assert page.evaluate(MADE_OF_TEXT) == made
