"""The guide: page and command say the same, and what the rules are."""

import itertools
import sys
import types
from pathlib import Path

import httpx
import pytest

from coatcheck import Claims, Coatcheck, Policy, Verifier
from coatcheck._asgi_tokens import Sessions, find_pair
from coatcheck.cli.choose import size_of
from coatcheck.tools import guide

ROOT = Path(__file__).parent.parent.parent
QUESTIONS = {one["id"]: [answer["id"] for answer in one["answers"]] for one in guide.data()["questions"]}
EVERY = [
    dict(zip(QUESTIONS, answers, strict=True))
    for answers in itertools.product(*([*one, None] for one in QUESTIONS.values()))
]
WHOLE = [answers for answers in EVERY if None not in answers.values()]
SITE = "http://localhost:8000"


def given(answers):
    """The answers without open ones."""
    return {name: value for name, value in answers.items() if value is not None}


def expected(answers):
    """The rules of the guide, said once more and in another way."""
    alone = answers["backends"] == "federation" or (answers["backends"], answers["verify"]) == ("many", "alone")
    if not alone and answers["clients"] == "browsers":
        return "cookie"  # one backend, a small cluster, or one store
    if alone and answers["sign_out"] == "instant" and answers["feed"] == "no":
        return "cookie"  # neither delay nor feed: no token can do that
    if answers["rotation"] == "no":
        return "hybrid" if alone else "cookie"
    return "jwt" if answers["clients"] == "programs" else "hybrid"


@pytest.mark.parametrize("answers", WHOLE, ids=lambda one: "-".join(one.values()))
def test_the_rules(answers):
    """Every combination has the verdict of the rules, a reason, and something that one gives up."""
    found = guide.decide(answers)
    assert found.verdict == expected(answers)
    assert len(found.reasons) >= 2 and len(found.gives_up) >= 2


def test_page_and_command_say_the_same(call):
    """For every combination of answers, with open ones, in all that is said."""
    decided = 0
    for answers in map(given, EVERY):
        mine = guide.decide(answers)
        theirs = call("choose/decide.mjs", "decide", answers)
        assert (mine and vars(mine)) == theirs, answers
        assert guide.asked(answers) == call("choose/decide.mjs", "asked", answers)
        decided += mine is not None
    assert decided > len(WHOLE)
    assert guide.bytes_per_request() == call("choose/decide.mjs", "bytesPerRequest")
    for verdict, framework in itertools.product(guide.data()["verdicts"], guide.data()["frameworks"]):
        theirs = call("choose/decide.mjs", "startingCode", verdict, framework["id"])
        assert theirs == guide.starting_code(verdict, framework["id"])


def test_what_is_still_possible(call):
    """It is what the rest of the answers can lead to, no more and no less."""
    for answers in map(given, EVERY[::7]):
        rest = [[answers[name]] if name in answers else found for name, found in QUESTIONS.items()]
        verdicts = {expected(dict(zip(QUESTIONS, one, strict=True))) for one in itertools.product(*rest)}
        assert set(call("choose/decide.mjs", "possible", answers)) == verdicts, answers


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1049, 99_949, 99_999, 100_000, 999_999, 66 * 10**6, 10**18, 10**24])
def test_sizes_are_said_the_same(call, count):
    """Digit for digit."""
    assert call("choose/sizes.mjs", "sizeOf", str(count)) == size_of(count)


OURS = {"sec-fetch-site": "same-origin"}


def test_every_reason_can_be_met():
    """A sentence that no combination leads to would be a mistake in its condition."""
    for name in ("reasons", "gives_up"):
        said = {text for answers in WHOLE for text in getattr(guide.decide(answers), name)}
        assert [one["text"] for one in guide.data()[name] if one["text"] not in said] == []
    assert {guide.decide(answers).rule for answers in WHOLE} == {rule["id"] for rule in guide.data()["rules"]}


async def test_the_bytes_are_measured():
    """The figures are those of real tokens, and those on the page of figures."""
    said = guide.data()["measured"]
    async with Coatcheck("memory://", issuer="https://auth.example.com", policy=Policy(mode="hybrid")) as auth:
        begun = await auth.sign_in("maria")
        token = begun.token.reveal()
        pair = await auth.issue_refresh(begun.session, client_id="cli", audience="orders")
        cookie = f"{auth.policy.cookie.name}={token}"
        _, beside = await find_pair(cookie.encode(), token.encode(), auth, "orders", Sessions(1))
        assert said == {
            "session_token": len(token),
            "access_token": len(auth.access_token(begun.session, audience="orders")),
            "access_cookie": len(beside.partition(";")[0].partition("=")[2]),
            "refresh_token": len(pair.refresh_token.reveal()),
        }
        both = f"Cookie: {cookie}; {beside.partition(';')[0]}"
    assert guide.bytes_per_request() == {
        "cookie": len("Cookie: " + cookie),
        "hybrid": len(both),
        "jwt": len("Authorization: Bearer ") + said["access_token"],
    }
    page = (ROOT / "docs" / "reference" / "figures.md").read_text()
    row = "{session_token} session token, {refresh_token} refresh token, {access_token} access token".format(**said)
    assert row in page


@pytest.fixture(params=guide.data()["verdicts"])
async def started(request, tmp_path, monkeypatch):
    """The starting code for Starlette, running, with somebody to sign in."""
    monkeypatch.chdir(tmp_path)
    code = {}
    exec(compile(guide.starting_code(request.param, "starlette"), "app.py", "exec"), code)

    async def who_is_it(request):
        return "maria"

    async with code["auth"]:
        transport = httpx.ASGITransport(app=code["app"])
        async with httpx.AsyncClient(
            transport=transport, base_url=SITE, headers={"sec-fetch-site": "same-origin"}
        ) as client:
            assert (await client.post("/sign-in")).status_code == 401
            code["who_is_it"] = who_is_it
            yield request.param, client, code["auth"]


async def test_the_starting_code_works(started):
    """Sign in, be known, get what the way promises, sign out, be nobody."""
    verdict, client, auth = started
    answer = await client.post("/sign-in")
    assert answer.status_code == 200
    headers = {}
    if verdict == "jwt":
        pair = answer.json()
        pair = (await client.post("/refresh", json={"refresh_token": pair["refresh_token"]})).json()
        assert isinstance(auth.verify(pair["access_token"], audience="orders"), Claims)
        headers = {"authorization": f"Bearer {pair['access_token']}"}
    else:
        # Over http a client keeps no Secure cookie; a browser does so for localhost.
        headers = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
    assert (await client.get("/", headers=headers)).json() == {"sub": "maria"}
    if verdict == "hybrid":
        token = (await client.post("/token", headers=headers)).json()["access_token"]
        async with Verifier(SITE, audience="orders", feed=auth) as verifier:
            assert isinstance(verifier.verify(token), Claims)
    assert (await client.post("/sign-out", headers=headers)).status_code == 200
    after = await client.get("/", headers=headers)
    assert after.status_code == 401 if verdict == "jwt" else after.json() == {"sub": None}


def walk(verdict, post, get, auth):
    """The same way as in Starlette's code, in that of a framework without await."""
    status, answer, cookie = post("/sign-in", {}, {})
    assert status == 200
    headers = {}
    if verdict == "jwt":
        pair = post("/refresh", {"refresh_token": answer["refresh_token"]}, {})[1]
        assert isinstance(auth.verify(pair["access_token"], audience="orders"), Claims)
        headers = {"authorization": f"Bearer {pair['access_token']}"}
    else:
        headers = {"cookie": cookie.partition(";")[0]}
    assert get("/", headers)[1] == {"sub": "maria"}
    if verdict == "hybrid":
        token = post("/token", {}, headers)[1]["access_token"]
        assert isinstance(auth.verify(token, audience="orders"), Claims)
    assert post("/sign-out", {}, headers)[0] == 200
    after = get("/", headers)
    assert after[0] == 401 if verdict == "jwt" else after[1] == {"sub": None}


VERDICTS = ["cookie", "hybrid", "jwt"]


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_starting_code_in_flask(verdict, tmp_path, monkeypatch):
    """Nobody is let in as it stands; with who_is_it() filled in it works."""
    monkeypatch.chdir(tmp_path)
    code = {"__name__": "app"}
    exec(compile(guide.starting_code(verdict, "flask"), "app.py", "exec"), code)
    client = code["app"].test_client(use_cookies=False)
    ours = {"sec-fetch-site": "same-origin"}

    def post(path, sent, headers):
        answer = client.post(path, json=sent, base_url=SITE, headers={**ours, **headers})
        return answer.status_code, answer.json, answer.headers.get("set-cookie")

    def get(path, headers):
        answer = client.get(path, base_url=SITE, headers={**ours, **headers})
        return answer.status_code, answer.get_json(silent=True)

    try:
        assert post("/sign-in", {}, {})[0] == 401
        code["who_is_it"] = lambda: "maria"
        walk(verdict, post, get, code["auth"])
    finally:
        code["auth"].close()


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_starting_code_in_django(verdict, tmp_path, monkeypatch):
    """Nobody is let in as it stands; with who_is_it() filled in it works."""
    django_site = pytest.importorskip("tests.adapters.django_site")
    from django.contrib.auth import get_user_model
    from django.db import connections
    from django.test import Client, override_settings
    from django.urls import clear_url_caches

    from coatcheck.django import conf

    monkeypatch.chdir(tmp_path)
    code = types.ModuleType("guides_urls")
    monkeypatch.setitem(sys.modules, "guides_urls", code)
    django_site.settings.ALLOWED_HOSTS = ["*"]
    exec(compile(guide.starting_code(verdict, "django"), "urls.py", "exec"), vars(code))
    settings = {name: value for name, value in vars(code).items() if name.isupper() and name != "ISSUER"}
    client = Client()

    def post(path, sent, headers):
        client.cookies.clear()
        answer = client.post(path, sent, content_type="application/json", headers={**OURS, **headers}, secure=True)
        cookies = answer.cookies
        cookie = f"__Host-session={cookies['__Host-session'].value}" if "__Host-session" in cookies else ""
        return answer.status_code, answer.json(), cookie

    def get(path, headers):
        client.cookies.clear()
        answer = client.get(path, headers={**OURS, **headers}, secure=True)
        return answer.status_code, answer.json()

    with override_settings(ROOT_URLCONF="guides_urls", **settings):
        try:
            assert post("/sign-in", {}, {})[0] == 401
            maria = get_user_model().objects.create_user("maria", "x")
            code.who_is_it = lambda request: maria
            walk(verdict, post, get, conf.engine())
        finally:
            get_user_model().objects.all().delete()
            connections.close_all()
            conf.reset()
            clear_url_caches()
