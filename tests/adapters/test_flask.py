"""What Flask adds to the story: configuration, redirects, the session's habits, Flask-Login, its test client."""

import datetime as dt

import flask
import flask_login
import pytest
from flask import Flask, flash, get_flashed_messages, jsonify, request, session

from coatcheck import CAREFUL, ConfigError, InvalidInput, Policy, StoreUnavailable, blocking
from coatcheck.flask import Sessions, csrf_token, current_session, session_info, sign_in, sign_out, signed_in
from coatcheck.testing import ManualClock

ORIGIN = "https://app.example.com"
OURS = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "__Host-session"


@pytest.fixture
def clock():
    """Time that moves when told to."""
    return ManualClock()


@pytest.fixture
def auth(tmp_path, clock):
    """An engine that is closed at the end."""
    with blocking.Coatcheck(
        f"sqlite:///{tmp_path}/coatcheck.db", policy=Policy(origins=(ORIGIN,)), clock=clock, issuer=ORIGIN
    ) as engine:
        yield engine


@pytest.fixture
def app(auth):
    """An application with the extension."""
    app = Flask(__name__)
    Sessions(app, auth=auth, sign_in_view="begin")

    @app.get("/begin")
    def begin():
        return f'<input type="hidden" name="csrf_token" value="{csrf_token()}">'

    @app.post("/in/<sub>")
    def come(sub):
        sign_in(sub, amr=("pwd",))
        return {"now": current_session.sub}

    @app.post("/out")
    def go():
        sign_out()
        return {"now": bool(current_session)}

    @app.get("/page")
    @signed_in
    def page():
        return session_info()

    @app.get("/fresh")
    @signed_in(fresh_s=300)
    def fresh():
        return "fresh"

    return app


def client_of(app):
    """A browser at the application."""
    client = app.test_client()
    client.environ_base |= {"HTTP_SEC_FETCH_SITE": "same-origin"}

    def ask(method, path, **more):
        return client.open(path, method=method, base_url=ORIGIN, **more)

    client.ask = ask
    return client


@pytest.fixture
def browser(app):
    """A browser at the application."""
    return client_of(app)


def test_who_asks_for_a_page_is_sent_to_sign_in_and_who_asks_for_json_is_told(browser):
    """With where they wanted to go; only for reading, since a POST cannot be done again by following a link."""
    answer = browser.ask("GET", "/page?a=1", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/begin?next=/page?a%3D1")
    answer = browser.ask("GET", "/page", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Cookie realm="coatcheck"')


def test_fresh_is_a_matter_of_time(browser, clock):
    """By the engine's clock; a step-up begins it anew."""
    assert browser.ask("POST", "/in/maria").json == {"now": "maria"}
    clock.advance(300)
    assert browser.ask("GET", "/fresh").status_code == 200
    clock.advance(1)
    answer = browser.ask("GET", "/fresh")
    assert answer.status_code == 401
    assert 'error="insufficient_user_authentication"' in answer.headers["WWW-Authenticate"]
    assert 'max_age="300"' in answer.headers["WWW-Authenticate"]
    browser.ask("POST", "/in/maria")
    assert browser.ask("GET", "/fresh").status_code == 200
    assert browser.ask("GET", "/page").json["sub"] == "maria"


def test_the_request_is_nobodys_after_the_sign_out(browser):
    """In the very request, too."""
    browser.ask("POST", "/in/maria")
    assert browser.ask("POST", "/out").json == {"now": False}


def test_an_old_browsers_form_needs_the_token(app):
    """No Fetch Metadata, no Origin: the token of the page, for that browser only; the body is there all the same."""

    @app.post("/form")
    def form():
        return {"said": request.form["said"]}

    client = app.test_client()
    send = {"base_url": ORIGIN, "method": "POST"}
    token = client.get("/begin", base_url=ORIGIN).text.split('value="')[1].split('"')[0]
    assert client.open("/form", data={"said": "hello", "csrf_token": token}, **send).json == {"said": "hello"}
    for wrong in ({}, {"csrf_token": token + "x"}, {"csrf_token": ""}):
        assert client.open("/form", data={"said": "hello", **wrong}, **send).status_code == 403
    stranger = app.test_client()
    assert stranger.open("/form", data={"said": "hello", "csrf_token": token}, **send).status_code == 403
    assert client.open("/form", data={"said": "x" * 70_000, "csrf_token": token}, **send).status_code == 403
    assert client.open("/form", data={"said": "hi"}, headers={"X-CSRF-Token": token}, **send).json == {"said": "hi"}


def test_static_files_may_be_kept_by_all(app, browser, tmp_path):
    """They depend on nobody, so they say nothing of cookies."""
    app.static_folder = str(tmp_path)
    (tmp_path / "style.css").write_text("a {}")
    answer = browser.ask("GET", "/static/style.css")
    answer.close()
    assert answer.status_code == 200
    assert "Cookie" not in answer.headers.get("Vary", "")
    assert "Cookie" in browser.ask("GET", "/begin").headers["Vary"]


# --- the extension ---


def test_the_engine_is_made_of_the_configuration(tmp_path):
    """A store in the instance folder, the policy with the origins, and a factory that comes before the application."""
    sessions = Sessions()
    with pytest.raises(ConfigError, match="init_app"):
        sessions.auth.check("x")
    app = Flask(__name__, instance_path=str(tmp_path / "instance"))
    app.config |= {"COATCHECK_POLICY": CAREFUL, "COATCHECK_ORIGINS": ORIGIN}
    sessions.init_app(app)
    try:
        assert sessions.auth.policy.origins == (ORIGIN,)
        assert sessions.auth.policy.idle_s == CAREFUL.idle_s
        assert sessions.auth.sign_in("maria")
        assert (tmp_path / "instance" / "coatcheck.db").exists()
        with pytest.raises(ConfigError, match="already"):
            sessions.init_app(app)
    finally:
        sessions.auth.close()


def test_two_applications_of_one_extension_do_not_mix(tmp_path, clock):
    """Each request is judged by its own application's engine."""
    sessions, apps = Sessions(), []
    for number in range(2):
        app = Flask(__name__, instance_path=str(tmp_path / str(number)))
        app.config["COATCHECK_ORIGINS"] = ORIGIN
        sessions.init_app(app)

        @app.post("/in")
        def come():
            sign_in("maria")
            return {}

        @app.get("/me")
        @signed_in(fresh_s=60)
        def me():
            return current_session.sub

        apps.append((client_of(app), sessions.auth))
    (first, _), (_, other) = apps
    first.ask("POST", "/in")
    assert first.ask("GET", "/me").text == "maria"
    assert other.sessions_of("maria") == []
    for _, auth in apps:
        auth.close()


def test_an_async_engine_is_refused():
    """Where it is written."""
    with pytest.raises(ConfigError, match=r"blocking\.Coatcheck"):
        Sessions(Flask(__name__), auth=__import__("coatcheck").Coatcheck("memory://"))


def test_a_mistake_in_the_set_up_lets_nobody_in():
    """Without the extension every call raises, whoever asks."""
    app = Flask(__name__)
    app.testing = True

    @app.get("/me")
    @signed_in
    def me():
        return "in"

    with pytest.raises(ConfigError, match="middleware"):
        app.test_client().get("/me")


# --- the session, as Flask's users know it ---


@pytest.fixture
def with_data(app):
    """Routes that use the session in Flask's ways."""

    @app.post("/flash")
    def say():
        flash("saved", "info")
        return {}

    @app.get("/flashed")
    def flashed():
        return jsonify(get_flashed_messages(with_categories=True))

    @app.post("/list")
    def grow():
        session.setdefault("list", []).append(len(session["list"]))
        return jsonify(session["list"])

    @app.post("/permanent")
    def permanent():
        session.permanent = True
        return {}

    @app.post("/bad/<what>")
    def bad(what):
        session[what] = {"date": dt.date(2030, 1, 1), "large": "x" * 100_000}[what]
        return {}

    @app.post("/clear")
    def clear():
        session.clear()
        return {}

    @app.get("/untouched")
    def untouched():
        return repr(session)

    return client_of(app)


def test_messages_are_flashed_once(with_data):
    """To an anonymous visitor, too."""
    with_data.ask("POST", "/flash")
    assert with_data.ask("GET", "/flashed").json == [["info", "saved"]]
    assert with_data.ask("GET", "/flashed").json == []


def test_changes_inside_of_values_are_noticed(with_data):
    """Without session.modified = True; and what was cleared is gone."""
    assert [with_data.ask("POST", "/list").json for _ in range(3)] == [[0], [0, 1], [0, 1, 2]]
    with_data.ask("POST", "/clear")
    assert with_data.ask("POST", "/list").json == [0]


def test_permanent_says_how_long_the_cookie_lives(with_data, app):
    """As in Flask: without it, until the window closes."""
    assert "Max-Age" not in with_data.ask("POST", "/list").headers["Set-Cookie"]
    assert "Max-Age" in client_of(app).ask("POST", "/permanent").headers["Set-Cookie"]


@pytest.mark.parametrize("what", ["date", "large"])
def test_what_cannot_be_kept_is_named_and_nothing_is_half_written(with_data, app, what):
    """The request fails, with the key; the data stay."""
    with_data.ask("POST", "/list")
    app.testing = True
    with pytest.raises(InvalidInput, match=f"'{what}'"):
        with_data.ask("POST", f"/bad/{what}")
    app.testing = False
    assert with_data.ask("POST", "/list").json == [0, 1]


def test_who_does_not_touch_the_session_does_not_read_it(with_data, auth):
    """No data are read, and the check comes from memory: nothing crosses to the engine's thread."""
    with_data.ask("POST", "/in/maria")
    auth._kept._home.run, run = None, auth._kept._home.run
    try:
        assert with_data.ask("GET", "/untouched").text == "<ServerSession, not read yet>"
        assert with_data.ask("GET", "/page").json["sub"] == "maria"
    finally:
        auth._kept._home.run = run


@pytest.mark.parametrize("when", ["reading", "writing"])
def test_while_the_store_is_away_no_page_speaks_of_what_was_lost(with_data, auth, when):
    """503 with Retry-After, whether the data could not be read or not be written."""
    with_data.ask("POST", "/list")
    store = auth._kept.now._store

    async def down(*args, **kwargs):
        raise StoreUnavailable("down")

    setattr(store, {"reading": "load_sid", "writing": "change_data"}[when], down)
    answer = with_data.ask("POST", "/list")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Set-Cookie" not in answer.headers
    assert b"[" not in answer.data


def test_flasks_own_session_transaction(with_data):
    """Tests set the stage by it."""
    with with_data.session_transaction(base_url=ORIGIN) as before:
        before["list"] = [7]
    assert with_data.ask("POST", "/list").json == [7, 1]
    with with_data.session_transaction(base_url=ORIGIN) as after:
        assert after["list"] == [7, 1]


# --- Flask-Login ---


class User(flask_login.UserMixin):
    """Somebody."""

    def __init__(self, name):
        self.id = name


@pytest.fixture
def with_login(app, auth):
    """An application that uses Flask-Login, and does not know of us."""
    app.secret_key = "for Flask-Login's own cookie"
    login = flask_login.LoginManager(app)
    login.user_loader(User)

    @app.post("/login/<name>")
    def login_as(name):
        flask_login.login_user(User(name), remember="remember" in request.args)
        return {"now": flask_login.current_user.id}

    @app.post("/logout")
    def logout():
        flask_login.logout_user()
        return {}

    @app.get("/secret")
    @flask_login.login_required
    def secret():
        return {"login": flask_login.current_user.id, "ours": current_session.sub}

    @app.get("/very-secret")
    @flask_login.fresh_login_required
    def very_secret():
        return {}

    return client_of(app)


def test_flask_logins_sign_in_is_ours(with_login, auth):
    """Login, both know who it is; kicked, and both do not; logged out, and the session has ended everywhere."""
    assert with_login.ask("GET", "/secret").status_code == 401
    assert with_login.ask("POST", "/login/maria").json == {"now": "maria"}
    assert with_login.ask("GET", "/secret").json == {"login": "maria", "ours": "maria"}
    assert with_login.ask("GET", "/very-secret").status_code == 200
    auth.revoke_user("maria")
    assert with_login.ask("GET", "/secret").status_code == 401
    with_login.ask("POST", "/login/maria")
    assert len(auth.sessions_of("maria")) == 1
    with_login.ask("POST", "/logout")
    assert auth.sessions_of("maria") == []
    assert with_login.ask("GET", "/secret").status_code == 401
    assert with_login.get_cookie(COOKIE) is None


def test_flask_logins_remember_cookie_does_not_outlive_a_kick(with_login, auth):
    """It is not even set: our cookie outlives the window, and it alone."""
    answer = with_login.ask("POST", "/login/maria?remember")
    (line,) = answer.headers.getlist("Set-Cookie")
    assert line.startswith(COOKIE)
    assert "Max-Age" in line
    auth.revoke_user("maria")
    assert with_login.ask("GET", "/secret").status_code == 401


def test_another_person_logs_in_at_the_same_browser(with_login, auth):
    """The first one's session ends, and Flask-Login knows the second."""
    with_login.ask("POST", "/login/maria")
    with_login.ask("POST", "/login/jorge")
    assert with_login.ask("GET", "/secret").json == {"login": "jorge", "ours": "jorge"}
    assert auth.sessions_of("maria") == []


def test_flask_itself_is_as_it_was():
    """The module of the same name is still Flask's."""
    assert flask.Flask is Flask
