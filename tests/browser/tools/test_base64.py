"""The base64 page as people use it: paste, read, type, copy, save; from the server and from a file."""

import pytest
from playwright.sync_api import expect
from tests.browser.tools.test_every_page import address
from tests.tools.pictures import PIXEL
from tests.tools.test_base64 import certificate
from tests.tools.vectors import NOW

from coatcheck.tools import TOOLS

pytestmark = pytest.mark.browser

BASE64 = next(tool for tool in TOOLS if tool.name == "base64")
CODES = "[...document.querySelectorAll('[data-code]')].map(one => one.dataset.code)"
MADE_OF_TEXT = "document.querySelectorAll('main script, main iframe, main a, main object, main style').length"
DROP = """([selector, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(bytes)], "some <b>file.bin"));
  const event = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
  document.querySelector(selector).dispatchEvent(event);
}"""


@pytest.fixture
def open_it(visit):
    """Opens the page at the time of the vectors."""

    def do(base, **kwargs):
        page = visit(address(base, BASE64), **kwargs)
        page.clock.set_fixed_time(NOW)
        return page

    return do


@pytest.fixture
def tool(served, open_it):
    """The page, as the server serves it."""
    return open_it(served)


def encoded(page):
    return page.get_by_role("textbox", name="Base64")


def content(page):
    return page.get_by_role("textbox", name="Content")


def what(page):
    return page.locator("#what-head")


def test_the_story(base, open_it):
    """Decode, change, copy and clear, by the clipboard: from the server and from a file, and nothing is asked for."""
    page = open_it(base)
    before = page.title(), page.url
    encoded(page).fill('"R3LDvMOfZQ=="')
    expect(content(page)).to_have_value("Grüße")
    expect(what(page)).to_have_text("Text")
    content(page).fill("Grüße>?")
    expect(encoded(page)).to_have_value("R3LDvMOfZT4/")
    page.get_by_label("URL-safe").check()
    expect(encoded(page)).to_have_value("R3LDvMOfZT4_")
    page.get_by_role("button", name="Copy the base64").click()
    expect(page.locator("#announcer")).to_have_text("Copied: the base64.")
    page.get_by_role("button", name="Clear").click()
    expect(content(page)).to_have_value("")
    expect(what(page)).to_have_count(0)
    page.keyboard.press("Control+v")
    expect(encoded(page)).to_have_value("R3LDvMOfZT4_")
    expect(content(page)).to_have_value("Grüße>?")
    assert (page.title(), page.url) == before


def test_hex_and_what_is_no_text(tool):
    """Bytes that are no text are shown as hex, and can be changed there; as text they can be read only."""
    encoded(tool).fill("//79")
    expect(content(tool)).to_have_value("ff fe fd")
    expect(tool.get_by_label("hex")).to_be_checked()
    content(tool).fill("0x68 69")
    expect(encoded(tool)).to_have_value("aGk=")
    encoded(tool).fill("aP8=")
    expect(content(tool)).to_have_value("68 ff")
    tool.get_by_label("text (UTF-8)").check()
    expect(content(tool)).to_have_value("h�")
    expect(content(tool)).not_to_be_editable()
    encoded(tool).fill("aGk")
    expect(content(tool)).to_have_value("hi")
    expect(content(tool)).to_be_editable()
    assert tool.evaluate(CODES) == ["no_padding"]
    expect(tool.get_by_label("padding (=)")).not_to_be_checked()
    content(tool).fill("hi!!")
    expect(encoded(tool)).to_have_value("aGkhIQ")
    tool.get_by_label("padding (=)").check()
    expect(encoded(tool)).to_have_value("aGkhIQ==")
    tool.get_by_label("hex").check()
    content(tool).fill("68 6x")
    assert tool.evaluate(CODES) == ["hex_character"]


def test_what_is_written_follows_what_was_read(tool):
    """The alphabet and the padding of a text that was pasted are kept when its content is changed."""
    encoded(tool).fill("Pj8_YQ")
    content(tool).fill(">?>?a")
    expect(encoded(tool)).to_have_value("Pj8-P2E")
    encoded(tool).fill("Pj8/YQ==")
    content(tool).fill(">??ab>?")
    expect(encoded(tool)).to_have_value("Pj8/YWI+Pw==")
    encoded(tool).fill("//8=")
    expect(content(tool)).to_have_value("ff ff")
    assert tool.evaluate(CODES) == ["not_utf8"]


def test_it_breaks_here(tool):
    """The letter is marked, and what stands before it is read."""
    encoded(tool).fill("aGVsbG8*d29y")
    expect(tool.locator("mark")).to_have_text("*")
    expect(content(tool)).to_have_value("hello")
    expect(tool.get_by_role("heading", name="“*” (U+002A) does not belong here")).to_be_visible()


@pytest.mark.long
def test_what_it_is(tool):
    """A picture is drawn, a certificate is read, JSON is laid out."""
    encoded(tool).fill(f"data:image/png;base64,{PIXEL}")
    expect(what(tool)).to_have_text("A PNG picture")
    tool.wait_for_function("document.querySelector('.picture').naturalWidth === 1")
    assert tool.evaluate(CODES) == []
    tool.evaluate(DROP, ["#encoded", list(certificate(30))])
    expect(what(tool)).to_have_text("A certificate (X.509)")
    expect(tool.locator(".facts")).to_contain_text("CN=a.example, C=DE (itself)")
    expect(tool.locator(".facts")).to_contain_text("some <b>file.bin")
    encoded(tool).fill("eyJhIjp7ImIiOjF9fQ==")
    expect(tool.get_by_role("region", name="As JSON")).to_contain_text('"b": 1')


def test_hostile_content_stays_text(tool):
    """Markup is text; a broken picture is told; what turns text around is shown by its code."""
    content(tool).fill('{"<img src=x onerror=alert(1)>": "\u202e</pre><script>alert(1)</script>"}')
    expect(tool.get_by_role("region", name="As JSON").locator(".odd")).to_have_text("U+202E")
    content(tool).fill("<svg onload=alert(1)><script>alert(1)</script></svg>")
    expect(what(tool)).to_have_text("An SVG picture")
    assert tool.locator("main img").count() == 0
    encoded(tool).fill("iVBORw0KGgoAAAAA")
    expect(tool.get_by_text("Your browser cannot draw it")).to_be_visible()
    encoded(tool).fill("<script>alert(1)</script>")
    expect(tool.locator("mark")).to_have_text("<")
    assert tool.evaluate(MADE_OF_TEXT) == 0


@pytest.mark.long
def test_files(served, profile):
    """One is chosen or dropped, and its bytes come back as a file, unchanged."""
    page = profile().new_page()
    page.goto(address(served, BASE64))
    raw = bytes(range(256)) * 3
    page.get_by_label("Or a file").set_input_files({"name": "a.bin", "mimeType": "a/b", "buffer": raw})
    expect(what(page)).to_have_text("Bytes")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the content as a file").click()
    assert download.value.suggested_filename == "decoded.bin"
    assert download.value.path().read_bytes() == raw


def test_by_keyboard_alone(tool):
    """Everything is reached and done with Tab, Enter, blank and the arrows."""
    tool.keyboard.press("Tab")
    tool.keyboard.press("Enter")
    names = []
    for _ in range(2):
        tool.keyboard.press("Tab")
        names.append(tool.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert names == ["SUMMARY", "encoded"]
    tool.keyboard.insert_text("Pj8/")
    expect(content(tool)).to_have_value(">??")
    tool.keyboard.press("Tab")
    tool.keyboard.press("ArrowDown")
    expect(encoded(tool)).to_have_value("Pj8_")
    assert tool.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    expect(tool.locator("#announcer")).to_have_text("Text. Nothing is odd about it.")


@pytest.mark.long
@pytest.mark.parametrize("text", ["'QUJD'.repeat(2_097_152)", "'<b>'.repeat(2_800_000)", "'/w=='.repeat(2_097_152)"])
def test_8_mb(tool, text):
    """The tab lives, shows the beginning, and goes on."""
    tool.evaluate(f"""() => {{
      const field = document.getElementById("encoded");
      field.value = {text};
      field.dispatchEvent(new Event("input"));
    }}""")
    expect(what(tool)).to_be_visible()
    assert len(content(tool).input_value()) <= 200_000
    assert tool.evaluate("document.querySelectorAll('main *').length") < 10_000
    tool.get_by_role("button", name="Clear").click()
    encoded(tool).fill("aGk=")
    expect(content(tool)).to_have_value("hi")
    expect(content(tool)).to_be_editable()
