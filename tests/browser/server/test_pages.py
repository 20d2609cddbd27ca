"""The pages of the ready-made server in a real browser: the story, the keyboard, the look, the hostile visitor."""

import re
import secrets
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

PASSWORD = "correct horse battery"
ANOTHER = "staple battery horse"
FOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0"
HOSTILE = "<img src=x onerror=\"document.title='taken'\">'&amp;"
LONG = "W" * 128

# Runs before anything of the page does.
WATCH = """
  window.shifted = 0;
  new PerformanceObserver(list => { for (const one of list.getEntries()) window.shifted += one.value })
    .observe({type: "layout-shift", buffered: true});
  window.violations = [];
  document.addEventListener("securitypolicyviolation", event => window.violations.push(event.violatedDirective));
"""
# Two frames: the first has been painted when the second begins, and its shifts have been counted.
PAINTED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# WCAG 2.2, 2.5.8; links within a sentence are excepted, and there are none.
SMALL = """
  [...document.querySelectorAll("a, button, select, input:not([type=hidden])")]
    .filter(one => one.checkVisibility() && !one.closest(".jump"))
    .filter(one => { const box = one.getBoundingClientRect(); return box.width < 24 || box.height < 24 })
    .map(one => one.outerHTML)
"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE = """async rules => (await axe.run({runOnly: rules})).violations
    .map(one => [one.id, one.nodes.map(node => node.html)])"""


def fill(page, **fields):
    """Fill in fields by their labels, underscores for spaces and dashes."""
    for label, text in fields.items():
        page.get_by_label(re.compile(label.replace("_", "."), re.IGNORECASE), exact=True).fill(text)


def sign_in(page, url, name, password=PASSWORD):
    """Fill in the form, and send it."""
    page.goto(f"{url}/sign-in")
    fill(page, name=name, password=password)
    page.get_by_role("button", name="Sign in").click()


def is_out(page, url):
    """Say whether the very next request leads to the sign-in."""
    page.goto(f"{url}/devices")
    return urlsplit(page.url).path == "/sign-in"


def test_the_story(fresh_server, profile):
    """Set up, kick, change the password, add somebody, disable them: each in force at the other's next request."""
    url, one, other = fresh_server.url, profile().new_page(), profile(user_agent=FOX).new_page()
    one.goto(url)
    assert one.url == f"{url}/set-up"
    fill(one, set_up_code=fresh_server.code, name="Maria", password=PASSWORD)
    one.get_by_role("button", name="Create administrator").click()
    expect(one.get_by_role("heading", level=1)).to_have_text("Maria")
    expect(one.get_by_text("Signed in just now, an administrator.")).to_be_visible()
    assert one.goto(f"{url}/set-up").status == 409

    sign_in(other, url, "maria")
    expect(other.get_by_role("heading", level=1)).to_have_text("Maria")
    one.goto(f"{url}/devices")
    expect(one.locator("[data-sid]")).to_have_count(2)
    expect(one.locator("[data-sid]").first).to_contain_text("This device")
    one.get_by_role("listitem").filter(has_text="Firefox on Windows").get_by_role("button").click()
    expect(one.get_by_role("status")).to_have_text("That device is signed out.")
    assert is_out(other, url)
    expect(other.get_by_text("You are no longer signed in here.")).to_be_visible()

    sign_in(other, url, "maria")
    expect(other.get_by_role("heading", level=1)).to_have_text("Maria")
    one.get_by_role("link", name="Password").click()
    fill(one, current_password=PASSWORD, new_password=ANOTHER)
    one.get_by_role("button", name="Change password").click()
    expect(one.get_by_role("status")).to_contain_text("Your password is changed")
    assert is_out(other, url)
    assert not is_out(one, url)

    one.get_by_role("link", name="Users").click()
    one.get_by_role("link", name="Add user").click()
    fill(one, name="Otto", password=PASSWORD)
    one.get_by_role("button", name="Add user").click()
    expect(one.get_by_role("heading", level=1)).to_have_text("Otto")
    sign_in(other, url, "Otto")
    expect(other.get_by_role("heading", level=1)).to_have_text("Otto")
    one.get_by_role("button", name="Disable account").click()
    expect(one.get_by_role("status")).to_contain_text("The account is disabled")
    assert is_out(other, url)
    sign_in(other, url, "Otto")
    expect(other.get_by_role("alert")).to_contain_text("Name or password is not right")


def test_signing_out_forgets(server):
    """After the sign-out, no cookie opens anything, and "back" shows nothing."""
    server.add("Forgetful")
    page = server.enter("Forgetful")
    page.goto(f"{server.url}/devices")
    page.get_by_role("button", name="Sign out", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    left = {one["name"] for one in page.context.cookies()}
    assert "__Host-session" not in left
    assert "__Host-coatcheck-device" in left
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


@pytest.mark.long
def test_the_list_refreshes_by_itself(server):
    """A device that goes elsewhere goes from the list, without a visit; the focus stays, and it is said aloud."""
    server.add("Vera")
    watching, leaving, staying = server.enter("Vera"), server.enter("Vera"), server.enter("Vera", user_agent=FOX)
    watching.goto(f"{server.url}/devices")
    cards = watching.locator("[data-sid]")
    expect(cards).to_have_count(3)
    button = watching.get_by_role("listitem").filter(has_text="Firefox").get_by_role("button")
    button.focus()
    leaving.get_by_role("button", name="Sign out", exact=True).click()
    expect(cards).to_have_count(2)
    expect(watching.locator("#announcer")).to_have_text("The list has changed: 2 devices.")
    expect(button).to_be_focused()

    button.click()
    expect(cards).to_have_count(1)
    assert is_out(staying, server.url)


@pytest.mark.long
def test_who_is_signed_out_while_looking_sees_it(server):
    """A list whose own session is ended elsewhere gives way to the sign-in."""
    server.add("Nora")
    kicked, other = server.enter("Nora", user_agent=FOX), server.enter("Nora")
    kicked.goto(f"{server.url}/devices")
    other.goto(f"{server.url}/devices")
    other.get_by_role("button", name="Sign out everywhere else").click()
    expect(kicked.get_by_role("heading", level=1)).to_have_text("Sign in")


def test_without_scripts(server):
    """Everything is there without JavaScript."""
    server.add("Plain")
    other, page = server.enter("Plain"), server.enter("Plain", java_script_enabled=False)
    page.goto(f"{server.url}/devices")
    page.get_by_role("button", name="Sign out this device").click()
    expect(page.get_by_role("status")).to_have_text("That device is signed out.")
    assert is_out(other, server.url)


def test_the_keyboard_is_enough(server, profile):
    """Sign in and kick without a mouse."""
    server.add("Kim")
    other, page = server.enter("Kim", user_agent=FOX), profile().new_page()

    def tab_to(locator):
        for _ in range(30):
            if locator.evaluate("one => one === document.activeElement"):
                return
            page.keyboard.press("Tab")
        pytest.fail("not reached by the keyboard")

    page.goto(f"{server.url}/sign-in?next=/devices")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("Kim")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your devices")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page.get_by_role("button", name="Sign out this device"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("That device is signed out.")
    assert is_out(other, server.url)


def test_only_administrators(server):
    """Somebody else gets a page that says so."""
    server.add("Curious")
    page = server.enter("Curious")
    for path in ("/admin/users", "/admin/users/new", "/admin/audit", "/admin/everyone/end"):
        assert page.goto(server.url + path).status == 403
        expect(page.get_by_role("heading", level=1)).to_have_text("Only for administrators")


def test_the_tools_are_out_of_reach_of_the_session(server):
    """They are found on the home page, and are shown in an origin of nobody's, without what belongs to the session."""
    server.add("Debugger")
    page = server.enter("Debugger")
    page.get_by_role("link", name="Tools").click()
    page.get_by_role("main").get_by_role("link", name="JWT decoder").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("JWT decoder")
    assert urlsplit(page.url).path == "/tools/jwt"
    assert page.evaluate("[origin, isSecureContext]") == ["null", True]
    page.get_by_role("button", name="Example").click()
    expect(page.get_by_role("heading", name="Not verified", exact=True)).to_be_visible()
    page.get_by_label("Secret or public key").fill("an example, and no secret at all")
    expect(page.get_by_role("heading", name="The signature fits", exact=True)).to_be_visible()
    page.goto(f"{server.url}/devices")
    expect(page.locator("[data-sid]")).to_have_count(1)


@pytest.mark.long
def test_what_they_send_stays_text(server):
    """Names and user agents are shown as they came, and do nothing."""
    server.add("Warden", admin=True)
    added = server.add(HOSTILE)
    server.enter(HOSTILE, user_agent=f"<script>document.title='taken'</script>{LONG}")
    page = server.enter("Warden")
    for path in ("/admin/users", f"/admin/users/{added['id']}", "/admin/audit"):
        page.goto(server.url + path)
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert page.title().endswith("Coatcheck")
        assert page.locator("main img, main script").count() == 0
    page.goto(f"{server.url}/admin/users/{added['id']}")
    expect(page.get_by_text("<script>document.title='taken'</script>").first).to_be_visible()
    page.goto(f"{server.url}/sign-in?next=//evil.example&notice={HOSTILE}")
    assert page.url == f"{server.url}/"


@pytest.fixture
def walk(server, profile):
    """Visits every page there is; calls back on each with its name."""

    def do(look, **kwargs):
        mark = secrets.token_hex(3)
        people = [server.add(f"{one} {mark}") for one in ("Ada", LONG[:120], "<b>Bob")]
        chief = f"Chief {mark}"
        admin = server.add(chief, admin=True)
        context = profile(**kwargs)
        context.add_init_script(WATCH)
        page = context.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))

        def at(path):
            page.goto(server.url + path)
            look(page, path)

        at("/sign-in")
        sign_in(page, server.url, chief, "not this one")
        expect(page.get_by_role("alert")).to_be_visible()
        look(page, "wrong password")
        sign_in(page, server.url, chief)
        page.wait_for_url(f"{server.url}/")
        server.enter(chief, user_agent=f"{LONG}{LONG}")
        at("/")
        at("/devices?notice=device-ended")
        at("/password")
        fill(page, current_password="not this one", new_password=ANOTHER)
        page.get_by_role("button", name="Change password").click()
        expect(page.get_by_role("alert")).to_be_visible()
        look(page, "another wrong password")
        for path in ("/fresh?notice=why-fresh", "/set-up", "/nowhere", "/admin/users/new", "/admin/users?q=nobody"):
            at(path)
        at("/admin/users")
        for one in (admin, *people):
            at(f"/admin/users/{one['id']}")
        at(f"/admin/users/{admin['id']}/password")
        at("/admin/audit")
        at("/admin/audit?user=nobody&event=panic")
        at("/admin/everyone/end")
        page.get_by_role("button", name="Sign out everyone").click()
        expect(page.get_by_role("alert")).to_be_visible()
        look(page, "not meant")
        assert [one for one in asked if not one.startswith(f"{server.url}/")] == []

    return do


@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.long)])
def test_every_page_fits(walk, width):
    """No page scrolls sideways, jumps while it loads, breaks the policy, asks elsewhere or has tiny targets."""

    def fits(page, name):
        page.wait_for_load_state("load")
        page.evaluate(PAINTED)
        assert page.evaluate(OVERFLOW) <= 0, name
        assert page.evaluate("window.shifted") < 0.02, name
        assert page.evaluate("window.violations") == [], name
        assert page.evaluate(SMALL) == [], name
        expect(page.get_by_role("main")).to_have_count(1)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)

    walk(fits, viewport={"width": width, "height": 800})


@pytest.mark.parametrize("width", [360, pytest.param(1280, marks=pytest.mark.long)])
def test_every_page_is_accessible(walk, axe, width):
    """axe-core finds nothing, by day and by night."""

    def accessible(page, name):
        page.evaluate(axe)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(AXE, RULES) == [], (name, scheme)

    walk(accessible, viewport={"width": width, "height": 800})
