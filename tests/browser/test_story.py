"""The story of the example, told by a real browser: two profiles, one ends the other."""

import re
import sqlite3
import stat
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1"
)
SESSION = "__Host-session"


def session_cookie(context):
    """The session cookie as the browser has it, or None."""
    return next((cookie for cookie in context.cookies() if cookie["name"] == SESSION), None)


@pytest.fixture
def laptop(profile, sign_in, site):
    """A page on which Maria has just signed in."""
    page = profile().new_page()
    sign_in(page)
    expect(page.get_by_role("heading", name="Hello, Maria")).to_be_visible()
    return page


def test_one_profile_ends_the_other(laptop, profile, sign_in, site):
    """Two profiles, one kick: the kicked one is out at its very next request, the other stays."""
    phone = profile(user_agent=PHONE).new_page()
    sign_in(phone)
    expect(phone.get_by_text("Signed in just now")).to_be_visible()

    laptop.get_by_role("link", name="Devices").click()
    cards = laptop.locator(".devices > li")
    expect(cards).to_have_count(2)
    expect(cards.first).to_have_attribute("aria-current", "true")
    expect(cards.first).to_contain_text("Chrome on Linux")
    expect(cards.first).to_contain_text("This device")
    expect(cards.first.get_by_role("button")).to_have_count(0)
    expect(cards.last).to_contain_text("Safari on iPhone")
    expect(cards.last).to_contain_text("from 127.0.0.1")
    assert re.fullmatch(r"\d+ \w+ \d{4}, \d\d:\d\d UTC", cards.last.locator("time").first.get_attribute("title"))

    cards.last.get_by_role("button", name="Sign out this device").click()
    expect(laptop.get_by_role("status")).to_have_text("That device is signed out.")
    expect(cards).to_have_count(1)

    phone.goto(f"{site.url}/devices")
    assert urlsplit(phone.url).path == "/sign-in"
    expect(phone.get_by_text("You are no longer signed in here.")).to_be_visible()
    assert phone.goto(f"{site.url}/").url.endswith("/sign-in")

    laptop.goto(site.url)
    expect(laptop.get_by_role("heading", name="Hello, Maria")).to_be_visible()


def test_sign_out_everywhere_else(laptop, profile, sign_in, site):
    """All others go; this one stays; the page asked for comes after the next sign-in."""
    others = [profile().new_page() for _ in range(2)]
    for other in others:
        sign_in(other)
        expect(other.get_by_role("heading", name="Hello, Maria")).to_be_visible()
    laptop.goto(f"{site.url}/devices")
    laptop.get_by_role("button", name="Sign out everywhere else").click()
    expect(laptop.get_by_role("status")).to_have_text("All your other devices are signed out.")
    expect(laptop.locator(".devices > li")).to_have_count(1)
    for other in others:
        other.goto(f"{site.url}/devices")
        expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
    again = others[0]
    again.get_by_label("Name").fill("maria")
    again.get_by_label("Password").fill(site.passwords["maria"])
    again.keyboard.press("Enter")
    expect(again.get_by_role("heading", name="Your devices")).to_be_visible()


def test_a_wrong_password_is_told_and_forgotten(profile, sign_in):
    """An alert, the name kept, the password gone, the cursor where it is needed next, no cookie."""
    page = profile().new_page()
    sign_in(page, name='<b>"maria"', password="wrong")
    expect(page.get_by_role("alert")).to_have_text("Name or password is not right. Please try again.")
    expect(page.get_by_label("Name")).to_have_value('<b>"maria"')
    expect(page.get_by_label("Password")).to_have_value("")
    expect(page.get_by_label("Password")).to_be_focused()
    expect(page.get_by_label("Password")).to_have_accessible_description(re.compile("not right"))
    assert session_cookie(page.context) is None


def test_signing_out_ends_the_session_on_the_server(laptop, site):
    """The cookie goes, and a thief's copy of it opens nothing; the back button shows nothing."""
    stolen = session_cookie(laptop.context)
    laptop.get_by_role("button", name="Sign out").click()
    expect(laptop.get_by_role("status")).to_have_text("You are signed out.")
    assert session_cookie(laptop.context) is None

    laptop.go_back()
    expect(laptop.get_by_role("heading", name="Sign in")).to_be_visible()

    laptop.context.add_cookies([stolen])
    laptop.goto(site.url)
    expect(laptop.get_by_role("heading", name="Sign in")).to_be_visible()


def test_signing_in_again_does_not_pile_up(laptop, site):
    """A second tab with the form still open signs in: a new session takes the place of the old one."""
    context = laptop.context
    first = session_cookie(context)
    held = context.cookies()
    context.clear_cookies()
    tab = context.new_page()
    tab.goto(f"{site.url}/sign-in")
    context.add_cookies([cookie for cookie in held if cookie["name"] == SESSION])
    tab.get_by_label("Name").fill("maria")
    tab.get_by_label("Password").fill(site.passwords["maria"])
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Hello, Maria")).to_be_visible()
    assert session_cookie(context)["value"] != first["value"]
    expect(tab.get_by_text("Signed in on this device only")).to_be_visible()


def test_the_cookie_the_browser_keeps(laptop):
    """Every protection that a cookie can have."""
    cookie = session_cookie(laptop.context)
    assert cookie["httpOnly"] is True
    assert cookie["secure"] is True
    assert cookie["sameSite"] == "Lax"
    assert (cookie["domain"], cookie["path"]) == ("localhost", "/")
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", cookie["value"])
    assert laptop.evaluate("document.cookie") == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["another site", "another port of this site"])
@pytest.mark.parametrize("path", ["/sign-out", "/devices/end-others"])
def test_a_form_on_another_origin_changes_nothing(*, laptop, profile, sign_in, site, other_site, host, path):
    """A page elsewhere posts to us from Maria's browser, with her cookie where SameSite lets it through: 403."""
    second = profile().new_page()
    sign_in(second)
    expect(second.get_by_role("heading", name="Hello, Maria")).to_be_visible()
    other_site.pages["/"] = (
        f'<form method="post" action="{site.url}{path}"></form><script>document.forms[0].submit()</script>'
    )
    trap = laptop.context.new_page()
    with trap.expect_response(lambda response: response.url == f"{site.url}{path}") as caught:
        trap.goto(f"http://{host}:{other_site.port}/")
    assert caught.value.status == 403
    assert ("cookie" in caught.value.request.all_headers()) == (host == "localhost")

    for page in (laptop, second):
        page.goto(site.url)
        expect(page.get_by_text("Signed in on 2 devices")).to_be_visible()


def test_what_lies_on_the_disk(laptop, site):
    """Files for their owner only; neither password nor token in any of them."""
    token = session_cookie(laptop.context)["value"].encode()
    files = list(site.folder.iterdir())
    assert {"users.txt", "coatcheck.db"} <= {file.name for file in files}
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
        for secret in (token, *(password.encode() for password in site.passwords.values())):
            assert secret not in file.read_bytes(), file.name
    connection = sqlite3.connect(f"file:{site.folder}/coatcheck.db?mode=ro", uri=True)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
