"""coatcheck.js in a real browser: two tabs of one profile, a real server, a service that judges tokens."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest
from tests.serving import ROOT

MAKE = """async () => {
  const { Tokens } = await import("/static/coatcheck.js");
  window.ends = [];
  window.orders = new Tokens({ audience: "orders", onEnd: (how) => window.ends.push(how) });
}"""
ASK = """async () => {
  const answer = await window.orders.fetch("/orders/mine", { method: "POST", body: "a hat" });
  return [answer.status, await answer.text()];
}"""
GET = "() => window.orders.get().then((token) => token, (error) => error.name + ': ' + error.message)"
INVALID = 'Bearer error="invalid_token"'


@pytest.fixture(scope="module")
def selling(running_server):
    """The server, with an audience that is registered for browsers."""
    store = f"sqlite:///{running_server.folder}/coatcheck.db"
    command = [sys.executable, "-m", "coatcheck.cli", "clients", "add", "pages", "--audience", "orders", "--browser"]
    subprocess.run([*command, "--store", store], check=True, cwd=running_server.folder, stdout=subprocess.DEVNULL)
    running_server.add("Tess")
    return running_server


class Shop:
    """What stands behind ``/orders``: accepts the tokens that it is told to."""

    def __init__(self, context):
        self.seen = []
        self.refuse = lambda token: False
        self.challenge = INVALID
        self.minted = []
        self.calls = Counter()
        context.route("**/orders/**", self._answer)
        context.on("request", self._count)

    def _count(self, request):
        self.calls[f"{request.method} {request.url.split('/', 3)[3]}"] += 1

    def _answer(self, route):
        token = route.request.headers["authorization"].removeprefix("Bearer ")
        self.seen.append((token, route.request.post_data))
        if self.refuse(token):
            fields = {"www-authenticate": self.challenge} if self.challenge else {}
            route.fulfill(status=401, headers=fields, body="no")
        else:
            route.fulfill(status=200, body="yes")

    @property
    def renewals(self):
        return self.calls["POST api/token"]


@pytest.fixture
def shop(selling, server):
    """Tess in one tab, and what her pages have asked for."""
    page = server.enter("Tess")
    shop = Shop(page.context)
    shop.url = selling.url
    shop.page = page

    def tab():
        other = page.context.new_page()
        other.goto(f"{selling.url}/")
        other.evaluate(MAKE)
        return other

    shop.tab = tab
    page.evaluate(MAKE)
    return shop


def sign_out(shop):
    """End the session as another device would: by the interface, in no tab of ours."""
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in shop.page.context.cookies())
    answer = httpx.delete(f"{shop.url}/api/session", headers={"cookie": cookies, "origin": shop.url})
    assert answer.status_code == 204


def test_a_token_is_made_once_and_used(shop):
    """In memory, and nowhere else."""
    assert shop.page.evaluate(ASK) == [200, "yes"]
    assert shop.page.evaluate(ASK) == [200, "yes"]
    assert shop.renewals == 1
    (token, body), again = shop.seen
    assert token.count(".") == 2 and body == "a hat" and again == (token, body)
    kept = shop.page.evaluate(
        "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, window.orders])"
    )
    assert token not in kept
    assert token not in str([one["value"] for one in shop.page.context.cookies()])
    assert shop.page.evaluate("async () => (await indexedDB.databases()).length + (await caches.keys()).length") == 0


def test_two_tabs_renew_once(shop):
    """Whether they ask at the same moment or one after the other."""
    other = shop.tab()
    start = "() => { window.asked = Promise.all([window.orders.get(), window.orders.get()]) }"
    shop.page.evaluate(start)
    other.evaluate(start)
    found = shop.page.evaluate("() => window.asked") + other.evaluate("() => window.asked")
    assert len(set(found)) == 1 and shop.renewals == 1
    third = shop.tab()
    assert third.evaluate(GET) == found[0] and shop.renewals == 1


def test_a_refused_token_is_renewed_once_for_both_tabs(shop):
    """The request goes again, with its body; the other tab has the new token already."""
    other = shop.tab()
    old = shop.page.evaluate(GET)
    assert other.evaluate(GET) == old
    shop.page.clock.install()
    shop.page.clock.fast_forward(10_000)
    shop.refuse = lambda token: token == old
    assert shop.page.evaluate(ASK) == [200, "yes"]
    assert [body for _, body in shop.seen] == ["a hat", "a hat"]
    assert shop.renewals == 2
    assert other.evaluate(ASK) == [200, "yes"]
    assert shop.renewals == 2 and shop.seen[-1][0] == shop.seen[-2][0] != old


@pytest.mark.parametrize("challenge", [INVALID, None])
def test_a_service_that_refuses_everything_is_not_asked_in_a_circle(shop, challenge):
    """Ten calls: each is answered, and the server gives two tokens at most."""
    shop.refuse, shop.challenge = (lambda token: True), challenge
    for _ in range(10):
        assert shop.page.evaluate(ASK)[0] == 401
    assert shop.renewals == 1 and len(shop.seen) == 10
    shop.page.clock.install()
    shop.page.clock.fast_forward(10_000)
    for _ in range(10):
        assert shop.page.evaluate(ASK)[0] == 401
    assert shop.renewals == 2 and len(shop.seen) == 21
    assert shop.page.evaluate("() => window.ends") == []


@pytest.mark.long
def test_a_401_about_something_else_is_the_pages(shop):
    """It asks for another kind of credential: a new token would not help."""
    shop.page.evaluate(GET)
    shop.page.clock.install()
    shop.page.clock.fast_forward(10_000)
    shop.refuse, shop.challenge = (lambda token: True), 'Basic realm="vault"'
    assert shop.page.evaluate(ASK)[0] == 401
    assert shop.renewals == 1 and len(shop.seen) == 1


def test_both_tabs_are_told_when_the_session_ended_elsewhere(shop):
    """By the next renewal; then nothing is asked for any more, until somebody has signed in."""
    other = shop.tab()
    old = shop.page.evaluate(GET)
    other.evaluate(GET)
    sign_out(shop)
    shop.page.clock.install()
    shop.page.clock.fast_forward(10_000)
    shop.refuse = lambda token: token == old
    assert shop.page.evaluate(ASK)[0] == 401
    assert shop.page.evaluate("() => window.ends") == ["here"]
    other.wait_for_function("() => window.ends.length > 0")
    assert other.evaluate("() => window.ends") == ["elsewhere"]
    renewals = shop.renewals
    for tab in (shop.page, other):
        for _ in range(3):
            assert tab.evaluate(GET) == "SignedOut: the session has ended"
    assert shop.renewals == renewals


def test_a_page_that_is_shown_again_looks(shop):
    """The session ended while it was hidden."""
    shop.page.evaluate(GET)
    sign_out(shop)
    shop.page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    shop.page.wait_for_function("() => window.ends.length > 0")
    assert shop.page.evaluate(GET).startswith("SignedOut")


@pytest.mark.long
def test_a_fresh_token_that_is_refused_has_the_session_looked_at(shop):
    """It was revoked a moment after the token was made."""
    shop.page.evaluate(GET)
    sign_out(shop)
    shop.refuse = lambda token: True
    assert shop.page.evaluate(ASK)[0] == 401
    assert shop.page.evaluate("() => window.ends") == ["here"]
    assert shop.renewals == 1


@pytest.mark.long
def test_signing_out_and_in_is_told_to_all_tabs(shop, server):
    """What was of the one is not used for the other."""
    other = shop.tab()
    old = shop.page.evaluate(GET)
    other.evaluate(GET)
    shop.page.evaluate("() => window.orders.signedOut()")
    other.wait_for_function("() => window.ends.length > 0")
    assert other.evaluate(GET).startswith("SignedOut")
    other.evaluate("() => window.orders.signedIn()")
    shop.page.wait_for_function("() => !window.orders.ended")
    new = shop.page.evaluate(GET)
    assert new not in {old, "SignedOut: the session has ended"}
    assert other.evaluate(GET) == new


def test_what_was_asked_for_before_a_sign_in_is_of_somebody_else(shop):
    """An answer that comes late reaches neither the tab that asked nor the one that signed in."""
    other, third = shop.tab(), shop.tab()
    held = []
    shop.page.context.route("**/api/token", lambda route: route.fallback() if held else held.append(route))
    other.evaluate("() => { window.asked = window.orders.get() }")
    other.wait_for_timeout(0)
    while not held:
        other.wait_for_timeout(10)  # gives the browser's events a turn
    shop.page.evaluate("() => window.orders.signedIn()")
    held[0].fulfill(json={"access_token": "of.somebody.else", "expires_in": 10_000, "token_type": "Bearer"})
    found = {other.evaluate("() => window.asked"), shop.page.evaluate(GET), third.evaluate(GET)}
    assert len(found) == 1
    assert "of.somebody.else" not in found


@pytest.mark.parametrize("way", ["token", "session"])
def test_what_went_wrong_before_a_sign_in_went_wrong_for_somebody_else(shop, way):
    """Neither a network that was away nor an end that comes to light late is held against who has signed in since."""
    held = []
    shop.page.context.route(f"**/api/{way}", lambda route: route.fallback() if held else held.append(route))
    call = "get" if way == "token" else "look"
    shop.page.evaluate(f"() => {{ window.asked = window.orders.{call}() }}")
    while not held:
        shop.page.wait_for_timeout(10)
    shop.page.evaluate("() => window.orders.signedIn()")
    held[0].abort() if way == "token" else held[0].fulfill(status=401, json={})
    shop.page.evaluate("() => window.asked.then(() => null, () => null)")
    assert shop.page.evaluate(GET).count(".") == 2
    assert shop.page.evaluate("() => window.ends") == []


def test_a_tab_that_has_not_heard_of_the_sign_in_tells_nobody_of_its_end(shop):
    """It ended for somebody else."""
    shop.page.evaluate("() => window.orders.signedIn()")
    shop.page.evaluate(GET)
    late = shop.tab()
    late.evaluate("""() => {
      window.stray = new BroadcastChannel("coatcheck  orders");
      stray.postMessage({ kind: "end", signIn: "another" });
    }""")
    ours = shop.page.evaluate(GET)
    assert late.evaluate(GET) == ours and ours.count(".") == 2
    token = '{ text: "x.y.z", from: 0, until: 1e15 }'
    late.evaluate(f'() => stray.postMessage({{ kind: "token", signIn: "another", token: {token} }})')
    shop.tab()  # by then it has been heard
    assert {late.evaluate(GET), shop.page.evaluate(GET)} == {ours}
    assert shop.page.evaluate("() => window.ends") == late.evaluate("() => window.ends") == []
    shop.page.evaluate("() => window.orders.signedOut()")
    late.wait_for_function("() => window.ends.length > 0")  # who was opened later has learned whose token it is


@pytest.mark.long
def test_a_server_that_is_away_is_not_pressed(shop):
    """Retry-After counts; without it the wait grows. No end is told: nobody knows."""
    shop.page.context.route("**/api/token", lambda route: route.fulfill(status=503, headers={"retry-after": "7"}))
    for _ in range(5):
        assert shop.page.evaluate(GET).startswith("Unavailable")
    assert shop.renewals == 1
    wait_ms = shop.page.evaluate("() => window.orders.get().catch((error) => error.retryAfterMs)")
    assert 5000 < wait_ms <= 7000
    assert shop.page.evaluate("() => window.ends") == []


@pytest.mark.long
def test_an_audience_that_pages_get_nothing_for(shop):
    """It is said by name, and not asked for again."""
    said = shop.page.evaluate("""async () => {
      const { Tokens } = await import("/static/coatcheck.js");
      const billing = new Tokens({ audience: "billing" });
      const told = [];
      for (let i = 0; i < 3; i++) await billing.get().catch((error) => told.push(error.name + " " + error.message));
      return told;
    }""")
    assert said == ["Misconfigured no token for the audience billing: wrong_audience"] * 3
    assert shop.renewals == 1


def test_it_is_small_and_says_what_it_is():
    """No import, and what is kept is not kept in any store of the browser's."""
    text = (Path(ROOT) / "src/coatcheck/server/static/coatcheck.js").read_text()
    code = re.sub(r"^\s*(//|/\*\*| \*).*$|//.*$", "", text, flags=re.MULTILINE)
    assert text.startswith("// ") and len(text.splitlines()) <= 360
    assert not re.search(
        r"^import|localStorage|sessionStorage|indexedDB|document\.cookie|console\.|caches", code, re.MULTILINE
    )
