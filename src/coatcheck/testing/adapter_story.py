"""
What every adapter promises over HTTP, as tests: inherit :class:`AdapterStory`, and your adapter is tested like ours.
Floor 5; may import: floors 0 to 4.

Rules of this module:

1. It speaks HTTP only, to a real server; it knows no framework.
2. It kicks from outside: by another engine on the same store, as another process would.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from coatcheck import blocking
from coatcheck.clock import Clock
from coatcheck.policy import Policy
from coatcheck.records import Reason, Refused, Session

ORIGIN = "https://app.example.com"
SECRET = "YWRhcHRlciBzdG9yeSBhZGFwdGVyIHN0b3J5IGFkYXB0ZXI"
_PATIENCE_S = 20.0
_OURS = {"Sec-Fetch-Site": "same-origin"}
_STRANGER = "A" * 43


@dataclass(frozen=True, kw_only=True)
class Stage:
    """
    What the application of a story is built from.

    Attributes:
        store, secret, policy, clock: For the engine; clock is None where time is not to be moved.

        meeting: Where two requests meet: its ``wait()``, called in a thread, returns when both are there.
    """

    store: str
    secret: str = SECRET
    policy: Policy = field(default_factory=lambda: Policy(origins=(ORIGIN,)))
    clock: Clock | None = None
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=_PATIENCE_S))


@dataclass(frozen=True)
class Answer:
    """A response: its status, its fields by lower-case name, the lines that set cookies, and its body."""

    status: int
    fields: dict[str, str]
    set_cookies: tuple[str, ...]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Browser:
    """A browser at :data:`ORIGIN`, as far as sessions are concerned. Safe to copy: :meth:`tab`."""

    def __init__(self, address: str, cookies: dict[str, str] | None = None) -> None:
        self._address = address
        self.cookies: dict[str, str] = {} if cookies is None else cookies

    def tab(self) -> Browser:
        """Return another tab: the same cookies."""
        return Browser(self._address, self.cookies)

    def get(self, path: str, **fields: str) -> Answer:
        """GET, as a page of ours asks."""
        return self.ask("GET", path, None, {**_OURS, **{name.replace("_", "-"): one for name, one in fields.items()}})

    def post(self, path: str, body: Any = None, **fields: str) -> Answer:
        """POST JSON, as a page of ours does."""
        given = {name.replace("_", "-"): one for name, one in fields.items()}
        return self.ask("POST", path, {} if body is None else body, {**_OURS, **given})

    def ask(self, method: str, path: str, body: Any, fields: dict[str, str]) -> Answer:
        """Send one request, with JSON where *body* is not None."""
        if body is None:
            return self.send(method, path, None, fields)
        return self.send(method, path, json.dumps(body), {"Content-Type": "application/json", **fields})

    def send(self, method: str, path: str, body: str | None, fields: dict[str, str]) -> Answer:
        """Send one request, with the cookies there are; keep those that come."""
        sent = {"Host": ORIGIN.partition("://")[2], **fields}
        if self.cookies:
            sent.setdefault("Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        with contextlib.closing(http.client.HTTPConnection(self._address, timeout=_PATIENCE_S)) as connection:
            connection.request(method, path, None if body is None else body.encode(), sent)
            response = connection.getresponse()
            found = response.getheaders()
            lines = tuple(value for name, value in found if name.lower() == "set-cookie")
            answer = Answer(response.status, {name.lower(): one for name, one in found}, lines, response.read())
        for line in lines:
            self._keep(line)
        return answer

    def _keep(self, line: str) -> None:
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        if "max-age=0" in [one.lower() for one in attributes] or not value.strip('"'):
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


class AdapterStory:
    """
    What an adapter promises, as tests for pytest.

    A subclass gives :meth:`make_store`, :meth:`take_away` and :meth:`serve`. The application that it serves takes and
    answers JSON, and has:

    ====================  ============================================================================================
    ``GET /whoami``       for anybody: ``{"sub": …, "amr": […]}``, null and empty for an anonymous visitor
    ``GET /private``      for who is signed in: ``{"sub": …}``; else 401
    ``GET /vault``        for who has used ``otp`` within the last 300 seconds; else 401
    ``GET /office``       for who has the role ``admin``; else 403
    ``POST /sign-in``     ``{"sub": …, "amr": […], "roles": […]}``: signs in, ``{}``
    ``POST /sign-out``    signs out, ``{}``
    ``GET /data``         the session's data
    ``POST /data``        ``{"set": {…}, "unset": […]}``: changes the data, ``{}``
    ``POST /meet``        the same, but after it has read the data and before it changes them it waits at the meeting
    ====================  ============================================================================================

    Attributes:
        cookie: The name of the session cookie.
    """

    cookie = "__Host-session"

    def make_store(self) -> str:
        """Return the URL of a new, empty store that several processes can share."""
        raise NotImplementedError

    def take_away(self, store: str) -> AbstractContextManager[None]:
        """Let nobody reach the store of that URL, until the end of the context."""
        raise NotImplementedError

    def serve(self, stage: Stage) -> AbstractContextManager[str]:
        """Serve the application, with at least four requests at once; give ``127.0.0.1:port``."""
        raise NotImplementedError

    # --- how it is played ---

    @contextlib.contextmanager
    def play(self) -> Iterator[tuple[Browser, blocking.Coatcheck, Stage]]:
        """Serve on a new store; give a browser, and an engine that is elsewhere."""
        stage = Stage(store=self.make_store())
        elsewhere = blocking.Coatcheck(stage.store, policy=stage.policy, secret=stage.secret)
        with elsewhere, self.serve(stage) as address:
            yield Browser(address), elsewhere, stage

    def sub_of(self, browser: Browser) -> Any:
        """Return whom the application takes the browser for."""
        answer = browser.get("/whoami")
        assert answer.status == 200, answer
        return answer.json["sub"]

    def sign_in(self, browser: Browser, sub: str = "maria", **more: Any) -> str:
        """Sign in; return the token."""
        answer = browser.post("/sign-in", {"sub": sub, **more})
        assert answer.status == 200, answer
        return browser.cookies[self.cookie]

    # --- the story ---

    def test_an_anonymous_visitor_is_served_and_gets_no_cookie(self) -> None:
        """Looking around costs nothing, and is nobody's."""
        with self.play() as (browser, _, _):
            answer = browser.get("/whoami")
            assert (answer.status, answer.json, answer.set_cookies) == (200, {"sub": None, "amr": []}, ())
            assert [browser.get(path).status for path in ("/private", "/vault", "/office")] == [401] * 3
            assert browser.get("/data").json == {}
            assert browser.cookies == {}

    def test_sign_in_and_be_recognised(self) -> None:
        """A cookie as safe as browsers can make it; from then on the visitor is known, here and elsewhere."""
        with self.play() as (browser, elsewhere, _):
            answer = browser.post("/sign-in", {"sub": "maria", "amr": ["pwd"]})
            (line,) = [one for one in answer.set_cookies if one.startswith(f"{self.cookie}=")]
            attributes = {one.lower() for one in line.split("; ")[1:]}
            assert {"httponly", "secure", "samesite=lax", "path=/"} <= attributes
            assert not any(one.startswith("domain=") for one in attributes)
            assert answer.fields["cache-control"] == "no-store"
            answer = browser.get("/whoami")
            assert answer.json == {"sub": "maria", "amr": ["pwd"]}
            assert "cookie" in answer.fields["vary"].lower()
            assert "private" in answer.fields["cache-control"] or "no-store" in answer.fields["cache-control"]
            assert browser.get("/private").json == {"sub": "maria"}
            found = elsewhere.check(browser.cookies[self.cookie])
            assert isinstance(found, Session)
            assert found.sub == "maria"
            assert found.device.ip == "127.0.0.1"

    def test_anonymous_data_survive_the_sign_in_and_the_token_does_not(self) -> None:
        """Whoever planted the cookie before has nothing (session fixation); the cart is still there."""
        with self.play() as (browser, elsewhere, _):
            assert browser.post("/data", {"set": {"cart": ["hat"]}}).status == 200
            planted = browser.cookies[self.cookie]
            assert browser.get("/data").json == {"cart": ["hat"]}
            assert self.sub_of(browser) is None
            assert self.sign_in(browser) != planted
            assert browser.get("/data").json == {"cart": ["hat"]}
            assert isinstance(elsewhere.check(planted), Refused)
            thief = browser.tab()
            thief.cookies = {self.cookie: planted}
            assert self.sub_of(thief) is None

    def test_data_are_written_key_by_key(self) -> None:
        """Set, replaced, changed and removed."""
        with self.play() as (browser, _, _):
            self.sign_in(browser)
            browser.post("/data", {"set": {"a": 1, "b": {"c": [1, None, "ü"]}, "d": 2}})
            browser.post("/data", {"set": {"a": [2]}, "unset": ["d"]})
            assert browser.get("/data").json == {"a": [2], "b": {"c": [1, None, "ü"]}}

    def test_two_tabs_that_write_at_once_both_keep_what_they_wrote(self) -> None:
        """Both have read before either writes."""
        with self.play() as (browser, _, _):
            self.sign_in(browser)
            browser.post("/data", {"set": {"both": "see this", "a": "old", "b": "old"}})
            tabs = browser.tab(), browser.tab()

            def write(tab: Browser, key: str) -> int:
                return tab.post("/meet", {"set": {key: key}}).status

            statuses = _at_once(*(functools.partial(write, tab, key) for tab, key in zip(tabs, "ab", strict=True)))
            assert statuses == [200, 200]
            assert browser.get("/data").json == {"both": "see this", "a": "a", "b": "b"}

    def test_step_up(self) -> None:
        """Who has not proved enough is told so, and proves it; the token changes, the session stays."""
        with self.play() as (browser, elsewhere, _):
            token = self.sign_in(browser, amr=["pwd"])
            before = elsewhere.check(token)
            answer = browser.get("/vault")
            assert answer.status == 401
            assert "insufficient_user_authentication" in answer.fields["www-authenticate"]
            fresh = self.sign_in(browser, amr=["pwd", "otp"])
            assert browser.get("/vault").status == 200
            after = elsewhere.check(fresh)
            assert isinstance(before, Session)
            assert isinstance(after, Session)
            assert before.sid == after.sid
            assert elsewhere.check(token) == Refused(Reason.RENEWED)

    def test_a_role_that_is_missing_is_forbidden_and_a_change_counts_at_once(self) -> None:
        """403, since signing in again would not help; promotion and demotion elsewhere are in force here."""
        with self.play() as (browser, elsewhere, _):
            self.sign_in(browser, roles=["member"])
            assert browser.get("/office").status == 403
            elsewhere.update_claims("maria", set={"roles": ["member", "admin"]})
            assert browser.get("/office").status == 200
            elsewhere.update_claims("maria", set={"roles": []})
            assert browser.get("/office").status == 403

    def test_kicked_means_out_on_the_next_request(self) -> None:
        """Ended elsewhere, after this server has answered for the session from memory."""
        with self.play() as (browser, elsewhere, _):
            for everywhere in (False, True):
                token = self.sign_in(browser)
                assert [self.sub_of(browser) for _ in range(3)] == ["maria"] * 3
                session = elsewhere.check(token)
                assert isinstance(session, Session)
                if everywhere:
                    elsewhere.revoke_user("maria")
                else:
                    elsewhere.revoke(session.sid)
                assert browser.get("/private").status == 401
                assert self.sub_of(browser) is None

    def test_sign_out(self) -> None:
        """The session has ended everywhere, the cookie is gone, and the old token is worth nothing."""
        with self.play() as (browser, elsewhere, _):
            token = self.sign_in(browser)
            answer = browser.post("/sign-out")
            assert answer.status == 200
            assert self.cookie not in browser.cookies
            assert elsewhere.check(token) == Refused(Reason.REVOKED)
            browser.cookies[self.cookie] = token
            assert self.sub_of(browser) is None
            browser.cookies.clear()
            assert browser.post("/sign-out").status == 200, "twice does no harm"

    def test_another_person_in_the_same_browser(self) -> None:
        """The first one's session ends, and the second sees nothing of its data."""
        with self.play() as (browser, elsewhere, _):
            token = self.sign_in(browser)
            browser.post("/data", {"set": {"letter": "for maria"}})
            self.sign_in(browser, "jorge")
            assert self.sub_of(browser) == "jorge"
            assert browser.get("/data").json == {}
            assert isinstance(elsewhere.check(token), Refused)

    def test_what_another_site_sends_is_refused(self) -> None:
        """Cross-site, same-site, by Origin alone, and the sign-in, too; nothing happened."""
        with self.play() as (browser, elsewhere, _):
            for fields in (
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
                {"Origin": "https://evil.example"},
                {"Origin": "null"},
            ):
                assert browser.ask("POST", "/sign-in", {"sub": "mallory"}, fields).status == 403
            assert browser.cookies == {}
            token = self.sign_in(browser)
            stranger = {"Sec-Fetch-Site": "cross-site"}
            assert browser.ask("POST", "/sign-out", {}, stranger).status == 403
            assert browser.ask("POST", "/data", {"set": {"a": 1}}, stranger).status == 403
            assert browser.get("/data").json == {}
            assert isinstance(elsewhere.check(token), Session)
            assert browser.ask("GET", "/whoami", None, stranger).json["sub"] == "maria", "links from elsewhere work"

    def test_bad_cookies_are_nobodys(self) -> None:
        """Garbage, an unknown token, a huge one, two of them: an anonymous visitor, never a fault, and none deleted."""
        with self.play() as (browser, _, _):
            token = self.sign_in(browser)
            for value in ("", "x", "%00", '"' + token + '"', token + "A", token[:-1], _STRANGER, "A" * 5000, "é"):
                fields = {**_OURS, "Cookie": f"{self.cookie}={value}".encode().decode("latin-1")}
                answer = browser.ask("GET", "/whoami", None, fields)
                assert (answer.status, answer.json["sub"]) == (200, None), value
                assert answer.set_cookies == (), value
            two = f"{self.cookie}={_STRANGER}; {self.cookie}={token}"
            for both in (two, "; ".join(reversed(two.split("; ")))):
                answer = browser.ask("GET", "/whoami", None, {**_OURS, "Cookie": both})
                assert (answer.status, answer.json["sub"]) == (200, None)

    def test_while_the_store_is_away(self) -> None:
        """503 with Retry-After for who carries a session, the page for who does not; no cookie is deleted."""
        with self.play() as (browser, _, stage):
            token = self.sign_in(browser)
            with self.take_away(stage.store):
                unknown = browser.tab()
                unknown.cookies = {self.cookie: _STRANGER}
                for visitor, path in ((unknown, "/whoami"), (browser, "/whoami"), (browser, "/private")):
                    # Memory may answer for one lease more; what is unknown to it is asked for at once.
                    answer = _until(functools.partial(visitor.get, path), lambda got: got.status == 503)
                    assert int(answer.fields["retry-after"]) > 0
                    assert answer.set_cookies == ()
                assert self.sub_of(Browser(browser._address)) is None  # noqa: SLF001  one module
            assert browser.cookies[self.cookie] == token


def _at_once(*works: Callable[[], Any]) -> list[Any]:
    outcomes: list[Any] = [None] * len(works)

    def keep(number: int, work: Callable[[], Any]) -> None:
        outcomes[number] = work()

    threads = [threading.Thread(target=keep, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _until(look: Callable[[], Answer], enough: Callable[[Answer], bool]) -> Answer:
    until = threading.Event()
    timer = threading.Timer(_PATIENCE_S, until.set)
    timer.start()
    try:
        while not enough(found := look()):
            assert not until.wait(0.05), found
        return found
    finally:
        timer.cancel()
