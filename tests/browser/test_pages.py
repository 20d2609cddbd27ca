"""How the pages look and behave: phone and desk, light and dark, nothing from elsewhere, nothing that jumps."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

SHOTS = Path(__file__).parent.parent.parent / "screenshots"
FOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"
LONG = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/131.0 SamsungBrowser/27.0 Mobile Safari/537"

# Runs before anything of the page does.
WATCH = """
  window.shifted = 0;
  new PerformanceObserver(list => { for (const e of list.getEntries()) window.shifted += e.value })
    .observe({type: "layout-shift", buffered: true});
  window.violations = [];
  document.addEventListener("securitypolicyviolation", e => window.violations.push(e.violatedDirective));
"""
# Two frames: the first has been painted when the second begins, and its shifts have been counted.
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
UNLABELLED = """
  [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button")]
    .filter(e => !(e.labels && e.labels.length) && !(e.tagName == "BUTTON" && e.textContent.trim()))
    .map(e => e.outerHTML)
"""
# Colours of text and of what lies behind it, for the contrast.
COLOURS = """
  [...document.querySelectorAll("h1, h2, p, a, label, dt, dd, button, input, strong, span, time")]
    .filter(e => e.textContent.trim() && e.checkVisibility() && !e.closest(".skip"))
    .map(e => {
      let behind = e;
      while (behind && getComputedStyle(behind).backgroundColor == "rgba(0, 0, 0, 0)") behind = behind.parentElement;
      return [e.textContent.trim().slice(0, 40), getComputedStyle(e).color, getComputedStyle(behind).backgroundColor];
    })
"""
SMALL_TARGETS = """
  [...document.querySelectorAll("button, input:not([type=hidden]), nav a")]
    .filter(e => e.getBoundingClientRect().height < 43.5).map(e => e.outerHTML)
"""


def luminance(colour):
    """Relative luminance (WCAG 2.2) of ``rgb(1, 2, 3)``."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    """Contrast (WCAG 2.2): 4.5 is enough for text of any size."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_of_contrast():
    """The measure knows black on white, and sees what is too faint."""
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(150, 150, 150)", "rgb(255, 255, 255)") < 3


@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.long)])
def test_every_page(profile, sign_in, site, width):
    """Walk through all pages and look at each with a ruler, by day and by night."""
    context = profile(viewport={"width": width, "height": 800}, user_agent=LONG)
    context.add_init_script(WATCH)
    page = context.new_page()
    console, asked = [], []
    page.on("console", lambda message: console.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))

    def look(name, *, console_has=()):
        page.wait_for_load_state("load")
        page.evaluate(PAINTED)
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), name
        assert page.evaluate("window.shifted") < 0.02, name
        assert page.evaluate("window.violations") == [], name
        assert page.evaluate(UNLABELLED) == [], name
        assert page.evaluate(SMALL_TARGETS) == [], name
        expect(page.get_by_role("main")).to_have_count(1)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        # Chromium itself writes a line for a document answered 401 or 404; anything else is ours.
        assert [line for line in console if not any(text in line for text in console_has)] == [], name
        console.clear()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            colours = page.evaluate(COLOURS)
            grounds = [luminance(seen[2]) for seen in colours if seen[0] in ("Coatcheck example", "Sign out")]
            assert all((ground > 0.5) == (scheme == "light") for ground in grounds) and grounds, name
            assert [seen for seen in colours if contrast(seen[1], seen[2]) < 4.5] == [], (name, scheme)
            if os.environ.get("COATCHECK_SCREENSHOTS") == "1":
                SHOTS.mkdir(exist_ok=True)
                page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png", full_page=True)

    page.goto(site.url)
    look("sign-in")
    sign_in(page, password="wrong")
    expect(page.get_by_role("alert")).to_be_visible()
    look("wrong-password", console_has=["401"])
    sign_in(page)
    expect(page.get_by_role("heading", name="Hello, Maria")).to_be_visible()
    look("home-alone")
    page.get_by_role("link", name="Devices").click()
    expect(page.get_by_text("You are signed in nowhere else.")).to_be_visible()
    look("devices-alone")

    for user_agent in (FOX, "curl/8.5.0"):
        sign_in(profile(user_agent=user_agent).new_page())
    page.reload()
    expect(page.locator(".devices > li")).to_have_count(3)
    look("devices")
    page.get_by_role("button", name="Sign out this device").first.click()
    expect(page.get_by_role("status")).to_be_visible()
    look("devices-ended")
    page.get_by_role("link", name="Home").click()
    expect(page.get_by_text("Signed in on 2 devices")).to_be_visible()
    look("home")
    page.goto(f"{site.url}/nowhere")
    look("not-found", console_has=["404"])
    page.goto(f"{site.url}/devices")
    page.get_by_role("button", name="Sign out everywhere else").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("status")).to_be_visible()
    look("signed-out")

    assert {url for url in asked if not url.startswith(f"{site.url}/")} == set()


def test_with_the_keyboard_alone(profile, site):
    """Tab leads through the page in its order, the first stop skips to the content, the focus is always seen."""
    page = profile().new_page()
    page.goto(f"{site.url}/sign-in")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("maria")
    page.keyboard.press("Tab")
    page.keyboard.type(site.passwords["maria"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Hello, Maria")).to_be_visible()
    stops = []
    for _ in range(6):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.textContent.trim().split('\\n')[0]"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", stops
    assert stops == [
        "Skip to the content",
        "Coatcheck example",
        "Home",
        "Devices",
        "Sign out",
        "Signed in on this device only",
    ]
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
