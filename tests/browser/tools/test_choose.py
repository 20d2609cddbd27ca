"""The guide in a browser: answered by mouse and by keyboard, with the tree and the bytes along."""

import pytest
from playwright.sync_api import expect

from coatcheck.tools import guide

pytestmark = pytest.mark.browser


@pytest.fixture
def page(base, visit):
    """The guide, from the server and from a file."""
    return visit(base + ("choose.html" if base.startswith("file:") else "choose"))


def test_the_path_fills_in(page):
    """Each answer is a branch; what depends on it comes and goes; at the end there is a verdict with both sides."""
    verdict, tree = page.locator("#verdict section"), page.locator("#tree svg")
    expect(verdict).to_have_attribute("data-verdict", "open")
    expect(page.get_by_role("group", name="Who verifies")).to_be_hidden()
    page.get_by_label("Several services of our own").check()
    expect(page.get_by_role("group", name="Who verifies")).to_be_visible()
    expect(tree.locator(".chosen")).to_have_text(["many"])
    for label in ("Each service by itself", "programs only", "No: some minutes later", "Yes: our clients"):
        page.get_by_label(label).check()
    expect(verdict).to_have_attribute("data-verdict", "jwt")
    expect(tree.locator(".chosen")).to_have_text(["many", "each alone", "programs", "minutes later", "yes", "JWT"])
    said = guide.decide(
        {"backends": "many", "verify": "alone", "clients": "programs", "sign_out": "delay", "rotation": "yes"}
    )
    expect(verdict.locator(".because li")).to_have_text(said.reasons)
    expect(verdict.locator(".gives-up li")).to_have_text(said.gives_up)
    expect(page.locator("#announcer")).to_have_text("Verdict: Take JWTs.")
    page.get_by_text("The path in words").click()
    expect(page.locator("#path")).to_contain_text("Only one is left: JWT.")
    expect(page.locator("#code")).to_contain_text(guide.starting_code("jwt", "starlette"))
    page.get_by_label("Your framework").select_option("django")
    expect(page.locator("#code pre")).to_have_text(guide.starting_code("jwt", "django"))
    page.get_by_role("button", name="Start again").click()
    expect(verdict).to_have_attribute("data-verdict", "open")


def test_by_keyboard_alone(page):
    """Tab goes from question to question, blank and arrows answer; the focus stays where it is."""
    page.locator("#again").evaluate("() => document.querySelector('#questions input').focus()")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#verdict section")).to_have_attribute("data-verdict", "cookie")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("No: some minutes later")).to_be_focused()
    expect(page.get_by_label("No: some minutes later")).to_be_checked()


def test_bytes_are_computed_live(page):
    """Requests a day times measured bytes; what is no number is said to be none."""
    page.get_by_label("How many requests a day?").fill("2,000")
    cookie = page.locator("[data-way=cookie] td")
    expect(cookie).to_have_text([str(guide.bytes_per_request()["cookie"]), "132 kB"])
    page.get_by_label("How many requests a day?").fill("<b>many</b>")
    expect(page.locator("#requests-problem")).to_contain_text("A whole number")
    expect(cookie.last).to_have_text("?")
