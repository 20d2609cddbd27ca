"""What Django adds to the story: its logins, passwords, admin, REST framework, checks, and its habits of sessions."""

import datetime as dt
import functools
import json

import django
import pytest
from tests.adapters import django_site, django_urls

from coatcheck import CAREFUL, Device, InvalidInput, Policy, StoreUnavailable
from coatcheck.testing import ManualClock

# isort: split
from django.contrib.auth import SESSION_KEY, get_user_model, login, logout, update_session_auth_hash
from django.contrib.auth.models import Permission
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.middleware import SessionMiddleware as DjangosSessions
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings

from coatcheck.django import SessionStore, checks, current, sign_in
from coatcheck.django.middleware import SessionMiddleware

ORIGIN = django_site.ORIGIN
COOKIE = "__Host-session"
OURS = {"HTTP_SEC_FETCH_SITE": "same-origin", "secure": True}
Person = get_user_model()


@pytest.fixture
def auth(tmp_path):
    """The engine of the project, on a store of its own."""
    with django_site.site(f"sqlite:///{tmp_path}/coatcheck.db", secret=None, ISSUER=ORIGIN) as engine:
        yield engine
        engine.close()


@pytest.fixture
def maria(auth):
    """A user."""
    person = Person.objects.create_user("maria", "first password")
    yield person
    Person.objects.all().delete()
    connections.close_all()


@pytest.fixture
def browser(auth):
    """A browser at the project."""
    return Client(raise_request_exception=True, **OURS)


def post(browser, path, sent=None):
    """POST JSON, as a page of ours does."""
    return browser.post(path, json.dumps(sent or {}), content_type="application/json", **OURS)


def enter(browser, name="maria", **more):
    """Log in; return the token."""
    assert post(browser, "/sign-in", {"sub": name, **more}).status_code == 200
    return browser.cookies[COOKIE].value


# --- logins ---


def test_djangos_login_and_logout_are_ours(auth, maria, browser):
    """A session with the user as its subject, on a device; ended by the logout, everywhere."""
    browser.defaults["HTTP_USER_AGENT"] = "Firefox"
    browser.defaults["REMOTE_ADDR"] = "203.0.113.9"
    enter(browser)
    (session,) = auth.sessions_of("maria")
    assert session.device == Device(ip="203.0.113.9", user_agent="Firefox")
    assert browser.get("/private", **OURS).json() == {"sub": "maria"}
    post(browser, "/sign-out")
    assert auth.sessions_of("maria") == []
    assert browser.get("/private", **OURS).status_code == 401


def test_the_test_clients_own_login(auth, maria, browser):
    """``force_login`` writes a session without any request of ours."""
    browser.force_login(maria)
    assert browser.get("/private", **OURS).json() == {"sub": "maria"}
    auth.revoke_user("maria")
    assert browser.get("/private", **OURS).status_code == 401
    browser.logout()


@pytest.mark.skipif(django.VERSION < (5, 2), reason="Django's own alogin and aget came with 5.0 and 5.1")
async def test_with_await(auth, maria):
    """Login, data of two requests at once, and the kick, all in views with await."""
    browser = AsyncClient()
    headers = {"Sec-Fetch-Site": "same-origin"}

    async def send(path, sent):
        return await browser.post(path, json.dumps(sent), content_type="application/json", headers=headers, secure=True)

    assert (await send("/sign-in-async", {"sub": "maria"})).status_code == 200
    assert (await browser.get("/private", secure=True)).json() == {"sub": "maria"}
    import asyncio
    import threading

    django_urls.MEETING.append(threading.Barrier(2, timeout=20))
    await asyncio.gather(*(send("/meet-async", {"set": {key: key}}) for key in "ab"))
    assert (await browser.get("/data", secure=True)).json() == {"a": "a", "b": "b"}
    await asyncio.to_thread(auth.revoke_user, "maria")
    assert (await browser.get("/private", secure=True)).status_code == 401


def test_who_is_logged_in_comes_from_memory(auth, maria, browser):
    """No data are read for it, and nothing crosses to the engine's thread."""
    enter(browser)
    browser.get("/whoami", **OURS)
    auth._kept._home.run, run = None, auth._kept._home.run
    try:
        assert browser.get("/whoami", **OURS).json()["sub"] == "maria"
        assert browser.get("/private", **OURS).json() == {"sub": "maria"}
    finally:
        auth._kept._home.run = run


# --- passwords, and users who are no more ---


def request_of(browser):
    """A request with the browser's session, as a view has it."""
    request = RequestFactory().get("/", secure=True)
    request.session = SessionStore(browser.cookies[COOKIE].value)
    request.user = Person.objects.get(pk="maria")
    return request


def change_password(browser, *, then=None):
    """Change Maria's password in a view of hers."""

    def view(request):
        request.user = Person.objects.get(pk="maria")
        request.user.set_password("second password")
        request.user.save()
        if then is not None:
            then(request)
        return HttpResponse("changed")

    request = RequestFactory().get("/", secure=True, headers={"cookie": f"{COOKIE}={browser.cookies[COOKIE].value}"})
    response = SessionMiddleware(view)(request)
    if COOKIE in response.cookies:
        browser.cookies[COOKIE] = response.cookies[COOKIE].value


def keep(request):
    """What Django's own password form does."""
    update_session_auth_hash(request, request.user)


@pytest.mark.parametrize("stays", [True, False])
def test_a_changed_password_ends_all_other_sessions(auth, maria, browser, stays):
    """Access tokens, too. Her own stays if the view says so, with its data; else Django lets nobody in by it."""
    phone = Client()
    enter(browser)
    post(browser, "/data", {"set": {"cart": ["hat"]}})
    enter(phone)
    theirs = auth.access_token(auth.check(phone.cookies[COOKIE].value), audience=ORIGIN)
    change_password(browser, then=keep if stays else None)
    assert not auth.verify(theirs, audience=ORIGIN)
    assert phone.get("/private", **OURS).status_code == 401
    assert browser.get("/private", **OURS).status_code == (200 if stays else 401)
    if stays:
        assert browser.get("/data", **OURS).json() == {"cart": ["hat"]}
        assert len(auth.sessions_of("maria")) == 1


def test_a_password_changed_by_another_ends_all_sessions(auth, maria, browser):
    """An administrator, or a link by mail: there is no session of hers to keep."""
    enter(browser)
    maria.set_password("second password")
    maria.save()
    assert auth.sessions_of("maria") == []
    assert browser.get("/whoami", **OURS).json()["sub"] is None


def test_what_is_no_change_of_the_password_ends_nothing(auth, maria, browser):
    """Another field, and an old hash that is brought up to date at a login."""
    enter(browser)
    maria.last_login = dt.datetime.now(dt.UTC)
    maria.save()
    with override_settings(
        PASSWORD_HASHERS=["django.contrib.auth.hashers.PBKDF2PasswordHasher", *django_site.settings.PASSWORD_HASHERS]
    ):
        assert Person.objects.get(pk="maria").check_password("first password")
    assert len(auth.sessions_of("maria")) == 1


@pytest.mark.parametrize("end", ["inactive", "deleted"])
def test_a_user_who_is_no_more(auth, maria, browser, end):
    """Made inactive, or deleted: signed out everywhere."""
    enter(browser)
    if end == "inactive":
        maria.is_active = False
        maria.save()
    else:
        maria.delete()
    assert auth.sessions_of("maria") == []
    assert browser.get("/whoami", **OURS).json()["sub"] is None


def test_a_change_that_is_rolled_back_ends_nothing(auth, maria, browser):
    """Sessions end after the commit; and one that began by the old password until then ends with them."""
    enter(browser)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        maria.set_password("second password")
        maria.save()
        _ = 1 / 0
    assert len(auth.sessions_of("maria")) == 1
    with transaction.atomic():
        maria.set_password("second password")
        maria.save()
        auth.sign_in("maria")
    assert auth.sessions_of("maria") == []


def test_a_session_that_was_ended_is_not_brought_back(auth, maria, browser):
    """Kicked in the middle of a request: it cannot save, cycle its key, or go on in any other way."""
    token = enter(browser)
    for again in (
        lambda session: session.__setitem__("a", 1),
        lambda session: session.cycle_key(),
        lambda session: session.set_expiry(60),
    ):
        session = SessionStore(token)
        assert session[SESSION_KEY] == "maria"
        auth.revoke_user("maria")
        again(session)
        with pytest.raises(UpdateError):
            session.save()
        assert auth.sessions_of("maria") == []
        token = enter(browser)


def test_the_password_of_a_kicked_session_brings_nobody_back(auth, maria, browser):
    """cycle_key() of a session that has ended leaves no key, and saving it with the same identity begins no other."""
    token = enter(browser)
    session = SessionStore(token)
    assert session[SESSION_KEY] == "maria"
    auth.revoke_user("maria")
    session.cycle_key()
    assert session.session_key is None
    with pytest.raises(UpdateError):
        session.save()
    assert auth.sessions_of("maria") == []


# --- the session, as Django's users know it ---


def test_messages_are_shown_once(browser):
    """To an anonymous visitor, too, and by whatever storage Django chose."""
    post(browser, "/say")
    assert browser.get("/said", **OURS).json() == ["saved"]
    assert browser.get("/said", **OURS).json() == []


@pytest.mark.parametrize(("value", "named"), [(dt.date(2030, 1, 1), "'x'"), ("y" * 100_000, "'x'")])
def test_what_cannot_be_kept_is_named_and_nothing_is_written(auth, value, named):
    """JSON only, and not too much; the data stay."""
    session = SessionStore()
    session["a"] = 1
    session.save()
    session["x"] = value
    with pytest.raises(InvalidInput, match=named):
        session.save()
    assert dict(SessionStore(session.session_key)) == {"a": 1}


def test_changes_inside_of_values_are_written(auth):
    """As with any of Django's engines, if the session is saved."""
    session = SessionStore()
    session["list"] = [1]
    session.save()
    session["list"].append(2)
    session.save()
    assert SessionStore(session.session_key)["list"] == [1, 2]


def test_set_expiry(tmp_path, maria):
    """Seconds without activity, a moment, the window; never above the policy's own lifetimes."""
    clock = ManualClock()
    from coatcheck.django import conf

    with django_site.site(f"sqlite:///{tmp_path}/expiry.db", policy="CAREFUL"):
        conf._known["engine"] = engine = django_site_engine(tmp_path, clock)
        session = SessionStore()
        session["a"] = 1
        session.set_expiry(60)
        session.save()
        key = session.session_key
        clock.advance(59)
        assert SessionStore(key)["a"] == 1
        clock.advance(59)
        assert SessionStore(key)["a"] == 1, "that was activity"
        clock.advance(60)
        assert "a" not in SessionStore(key)
        long = SessionStore()
        long["a"] = 1
        long.set_expiry(CAREFUL.idle_s * 9)
        long.save()
        clock.advance(CAREFUL.idle_s)
        assert "a" not in SessionStore(long.session_key)
        engine.close()


def django_site_engine(tmp_path, clock):
    """An engine whose time is moved by hand."""
    from coatcheck import blocking

    return blocking.Coatcheck(f"sqlite:///{tmp_path}/expiry.db", policy=CAREFUL, clock=clock)


def test_expiry_of_the_cookie(auth, maria):
    """Until the window closes, or as long as Django says."""

    def view(seconds, request):
        login(request, Person.objects.get(pk="maria"))
        request.session.set_expiry(seconds)
        return HttpResponse()

    def cookie_of(seconds):
        response = SessionMiddleware(functools.partial(view, seconds))(RequestFactory().get("/", secure=True))
        return response.cookies[COOKIE]

    assert cookie_of(0)["max-age"] == ""
    assert cookie_of(60)["max-age"] == 60
    assert cookie_of(None)["max-age"] == 1_209_600


def test_clearsessions(tmp_path, maria):
    """What is over is removed from the store."""
    clock = ManualClock()
    from coatcheck.django import conf

    with django_site.site(f"sqlite:///{tmp_path}/expiry.db", policy="CAREFUL"):
        conf._known["engine"] = engine = django_site_engine(tmp_path, clock)
        engine.sign_in("maria")
        clock.advance(CAREFUL.absolute_s * 2)
        removed = []
        sweep = engine.sweep
        engine.sweep = lambda: removed.append(sweep()) or removed[-1]
        call_command("clearsessions")
        assert removed[0] >= 1
        assert removed[-1] == 0
        engine.close()


def test_with_djangos_own_middleware(auth, maria):
    """SESSION_ENGINE alone: log in, be recognised, be kicked."""
    seen = []

    def view(request):
        seen.append((request.session.get(SESSION_KEY), request.session.get("a")))
        if request.GET:
            login(request, Person.objects.get(pk="maria"))
            request.session["a"] = 1
        return HttpResponse()

    def ask(path, cookies=""):
        return DjangosSessions(view)(RequestFactory().get(path, secure=True, headers={"cookie": cookies}))

    response = ask("/?in=1")
    cookies = f"{COOKIE}={response.cookies[COOKIE].value}"
    (session,) = auth.sessions_of("maria")
    assert session.device.ip == "127.0.0.1"
    ask("/", cookies)
    auth.revoke_user("maria")
    response = ask("/", cookies)
    assert seen == [(None, None), ("maria", 1), (None, None)]


def test_a_cookie_of_an_unknown_session_is_not_deleted(auth, browser):
    """Django deletes it; but the answer to an old request may come after the one that set it."""
    browser.cookies[COOKIE] = "A" * 43
    assert COOKIE not in browser.get("/whoami", **OURS).cookies


# --- while the store is away ---


@pytest.mark.parametrize("call", ["load_sid", "change_data"])
def test_503_when_data_cannot_be_read_or_written(auth, maria, browser, call):
    """In the view, or when the response is ready; and no page speaks of what was lost."""
    enter(browser)
    store = auth._kept.now._store

    async def down(*args, **kwargs):
        raise StoreUnavailable("down")

    setattr(store, call, down)
    answer = post(browser, "/data", {"set": {"a": 1}})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert COOKIE not in answer.cookies


# --- CSRF ---


@pytest.fixture
def strict(auth):
    """A browser that Django's CSRF middleware looks at."""
    return Client(enforce_csrf_checks=True, secure=True)


def test_a_current_browsers_word_is_enough(strict, maria):
    """No token for our own page; none that would help for another's."""
    body = json.dumps({"sub": "maria"})
    for fields, status in (
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, 200),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, 403),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, 403),
        ({"HTTP_ORIGIN": ORIGIN}, 200),
        ({"HTTP_ORIGIN": "https://evil.example"}, 403),
        ({"HTTP_ORIGIN": "null"}, 403),
    ):
        answer = strict.post("/sign-in", body, content_type="application/json", secure=True, **fields)
        assert answer.status_code == status, fields


def test_a_trusted_origin_needs_djangos_token_too(strict, maria):
    """As with Django's own middleware; and one that is not trusted gets nowhere by a token."""
    strict.get("/admin/login/", secure=True)
    token = strict.cookies["csrftoken"].value
    send = functools.partial(strict.post, "/sign-in", json.dumps({"sub": "maria"}), content_type="application/json")
    cross = {"secure": True, "HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_ORIGIN": "https://partner.example"}
    assert send(**cross, HTTP_X_CSRFTOKEN=token).status_code == 403
    with override_settings(CSRF_TRUSTED_ORIGINS=["https://*.example"]):
        fresh = Client(enforce_csrf_checks=True, secure=True)
        fresh.cookies = strict.cookies
        send = functools.partial(fresh.post, "/sign-in", json.dumps({"sub": "maria"}), content_type="application/json")
        assert send(**cross).status_code == 403
        assert send(**cross, HTTP_X_CSRFTOKEN=token).status_code == 200


def test_who_says_nothing_needs_djangos_token(strict, maria):
    """Neither Fetch Metadata nor Origin: the token, as before."""
    body = json.dumps({"sub": "maria"})
    assert strict.post("/sign-in", body, content_type="application/json", secure=True).status_code == 403
    strict.get("/admin/login/", secure=True)
    token = strict.cookies["csrftoken"].value
    answer = strict.post(
        "/sign-in", body, content_type="application/json", secure=True,
        HTTP_X_CSRFTOKEN=token, HTTP_REFERER="https://testserver/",
    )  # fmt: skip
    assert answer.status_code == 200


# --- the admin ---


@pytest.fixture
def admin(auth, maria, browser):
    """Somebody who may look at sessions, in a browser."""

    def make(*permissions):
        person = Person.objects.create_user("admin", "x", is_staff=True)
        person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        enter(browser, "admin")
        return browser

    return make


PAGE = "/admin/coatcheck/usersession/"
VIEW, END = "view_usersession", "delete_usersession"


def test_the_admins_page_of_sessions(auth, admin):
    """Find a user, see the devices, end one, end all."""
    browser = admin(VIEW, END)
    one = auth.sign_in("maria", device=Device(ip="203.0.113.9", user_agent="<b>Fire</b>fox"))
    auth.sign_in("maria")
    text = browser.get(f"{PAGE}?q=maria", **OURS).content.decode()
    assert "203.0.113.9" in text
    assert "&lt;b&gt;Fire&lt;/b&gt;fox" in text
    assert one.token.reveal() not in text
    assert "There is no such user" in browser.get(f"{PAGE}?q=nobody", **OURS).content.decode()
    answer = browser.post(f"{PAGE}?q=maria", {"sid": one.session.sid}, follow=True, **OURS)
    assert "The session has ended" in answer.content.decode()
    assert len(auth.sessions_of("maria")) == 1
    answer = browser.post(f"{PAGE}?q=maria", {}, follow=True, **OURS)
    assert "signed out everywhere" in answer.content.decode()
    assert auth.sessions_of("maria") == []


@pytest.mark.parametrize(
    ("permissions", "looks", "ends"), [((), 403, 403), ((VIEW,), 200, 403), ((VIEW, END), 200, 302)]
)
def test_to_look_and_to_end_are_two_permissions(auth, admin, permissions, looks, ends):
    """Staff alone is not enough; and nothing is ended by reading."""
    browser = admin(*permissions)
    auth.sign_in("maria")
    answer = browser.get(f"{PAGE}?q=maria", **OURS)
    assert answer.status_code == looks
    assert ("End it" in answer.content.decode()) == (ends == 302)
    assert len(auth.sessions_of("maria")) == 1
    assert browser.post(f"{PAGE}?q=maria", {}, **OURS).status_code == ends
    assert len(auth.sessions_of("maria")) == (0 if ends == 302 else 1)


def test_a_session_is_ended_as_its_users_only(auth, admin):
    """Another's ``sid`` ends nothing."""
    browser = admin(VIEW, END)
    other = auth.sign_in("jorge")
    browser.post(f"{PAGE}?q=maria", {"sid": other.session.sid}, **OURS)
    assert auth.check(other.token)


# --- REST framework ---


def test_access_tokens(auth, maria):
    """The user and the claims; none is anonymous, a bad one is 401, and so is one whose session or user is no more."""
    client = Client(secure=True)
    done = auth.sign_in("maria")

    def ask(token=None):
        fields = {} if token is None else {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        return client.get("/orders", secure=True, **fields)

    token = auth.access_token(done.session, audience=ORIGIN)
    assert ask(token).json() == {"user": "maria", "sid": done.session.sid}
    assert ask().json() == {"user": None, "sid": None}
    bound = auth.bound_token(done.session, audience=ORIGIN, lifetime_s=60, more={"th": "x"})
    stranger = auth.access_token(auth.sign_in("nobody").session, audience=ORIGIN)
    for wrong in ("x", token[:-2], auth.access_token(done.session, audience="other"), bound, stranger):
        answer = ask(wrong)
        assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    auth.revoke(done.session.sid)
    assert ask(token).status_code == 401


def test_a_token_that_cannot_be_judged_now(auth, maria, monkeypatch):
    """503 with Retry-After, and not 401: a client would throw its token away."""
    from coatcheck import Refused
    from coatcheck.django.rest import AccessTokenAuthentication

    monkeypatch.setattr(AccessTokenAuthentication, "verify", lambda self, token: Refused("unsure"))
    answer = Client(secure=True).get("/orders", secure=True, HTTP_AUTHORIZATION="Bearer x")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


# --- system checks ---


def found(**settings):
    """What the checks say of other settings."""
    with override_settings(**settings):
        return [one.id for one in checks.look()]


def test_the_project_of_the_tests_passes(auth):
    """Nothing to say, by our checks or by Django's own; and no migration is missing."""
    assert checks.look() == []
    assert [one for one in run_checks() if one.id.startswith("coatcheck")] == []
    call_command("makemigrations", "coatcheck", check=True, verbosity=0)


MIDDLEWARE = django_site.settings.MIDDLEWARE


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"SESSION_ENGINE": "django.contrib.sessions.backends.db"}, ["coatcheck.W001"]),
        ({"COATCHECK": {"STORES": "x"}}, ["coatcheck.E002"]),
        ({"COATCHECK": {"STORE": "mysql://x"}}, ["coatcheck.E002"]),
        ({"COATCHECK": {"POLICY": "LAX"}}, ["coatcheck.E002"]),
        ({"COATCHECK": []}, ["coatcheck.E002"]),
        ({"COATCHECK": {"STORE": "memory://", "ORIGINS": ORIGIN}}, ["coatcheck.E003"]),
        ({"COATCHECK": {}}, ["coatcheck.W004"]),
        ({"SESSION_COOKIE_AGE": 90 * 86_400}, ["coatcheck.W005"]),
        ({"SESSION_COOKIE_SECURE": False}, ["coatcheck.E006", "coatcheck.E009"]),
        ({"SESSION_COOKIE_SECURE": False, "DEBUG": True}, ["coatcheck.W006", "coatcheck.E009"]),
        ({"SESSION_COOKIE_HTTPONLY": False}, ["coatcheck.E007"]),
        ({"SESSION_COOKIE_SAMESITE": "None"}, ["coatcheck.E008"]),
        ({"SESSION_COOKIE_SAMESITE": False}, ["coatcheck.E008"]),
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, ["coatcheck.E009"]),
        ({"SESSION_COOKIE_PATH": "/app"}, ["coatcheck.E009"]),
        ({"SESSION_COOKIE_NAME": "sessionid"}, ["coatcheck.W010"]),
        ({"SESSION_SERIALIZER": "app.PickleSerializer"}, ["coatcheck.E011"]),
        ({"MIDDLEWARE": MIDDLEWARE[1:]}, ["coatcheck.E012"]),
        ({"MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware", *MIDDLEWARE[1:]]}, ["coatcheck.W013"]),
        ({"MIDDLEWARE": [MIDDLEWARE[0], *MIDDLEWARE[2:]]}, ["coatcheck.E014"]),
    ],
)
def test_what_is_unsafe_is_said(auth, settings, expected):
    """Each by its own id, and nothing else."""
    assert found(**settings) == expected


# --- the rest ---


def test_claims_of_the_project(tmp_path, maria):
    """COATCHECK["CLAIMS"] says what the session says of its user."""
    with django_site.site(f"sqlite:///{tmp_path}/claims.db", CLAIMS="tests.adapters.django_urls.claims_of") as auth:
        browser = Client()
        enter(browser, roles=["member"])
        assert auth.check(browser.cookies[COOKIE].value).claims["staff"] is False
        assert browser.get("/office", **OURS).status_code == 403
        auth.close()


def test_who_asks_for_a_page_is_sent_to_log_in(auth, browser):
    """With where they wanted to go; who asks for JSON is told."""
    answer = browser.get("/vault?a=1", HTTP_ACCEPT="text/html,*/*", **OURS)
    assert (answer.status_code, answer["Location"]) == (302, "/admin/login/?next=/vault%3Fa%3D1")
    assert browser.get("/vault", **OURS)["WWW-Authenticate"] == 'Cookie realm="coatcheck"'


def test_a_view_without_our_session_lets_nobody_in():
    """Another engine's session, or none."""
    from coatcheck import ConfigError

    with pytest.raises(ConfigError, match="SESSION_ENGINE"):
        current(HttpRequest())
    with pytest.raises(ConfigError, match="SESSION_ENGINE"):
        sign_in(HttpRequest(), None)


def test_a_policy_and_its_origins(tmp_path):
    """A preset by its name, or a Policy."""
    with django_site.site(f"sqlite:///{tmp_path}/p.db", policy="CAREFUL") as auth:
        assert auth.policy.idle_s == CAREFUL.idle_s
        assert auth.policy.origins == (ORIGIN,)
    with django_site.site(f"sqlite:///{tmp_path}/p.db", policy=Policy(idle_s=77)) as auth:
        assert auth.policy.idle_s == 77


def test_logout_without_a_session(auth):
    """Does no harm."""
    request = RequestFactory().get("/")
    request.session = SessionStore()
    logout(request)
