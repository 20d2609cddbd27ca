"""The examples, started as their users start them and driven over HTTP; and with several workers."""

import contextlib
import os
import re
import subprocess
import sys
import threading
import urllib.parse

import pytest
from tests.adapters.programs import At, free_port, free_ports, running
from tests.servers import postgres, valkey
from tests.serving import ROOT

from coatcheck import Policy, blocking
from coatcheck.testing.adapter_story import SECRET

ORIGIN = "http://localhost:8000"
PASSWORD = "pass-word of tests"
WORKERS = 4


def env(store):
    """What the examples read from their environment."""
    return {"STORE": store, "PASSWORD": PASSWORD, "COATCHECK_SECRET": SECRET}


def uvicorn(port, *more):
    """Serve the FastAPI example."""
    return [sys.executable, "-m", "uvicorn", "examples.fastapi_app.app:app", "--port", str(port), *more]


def test_fastapi(tmp_path):
    """Sign in, the sessions, a cart from before the sign-in, end another session, all others, sign out."""
    port = free_port()
    with running(uvicorn(port), ROOT, port=port, env=env(f"sqlite:///{tmp_path}/coatcheck.db")) as program:
        maria, phone = program.browser(), program.browser()
        assert maria.get("/").fields["location"] == "/docs"
        assert maria.get("/me").status == 401
        assert maria.post("/cart", {"thing": "hat"}).json == {"cart": ["hat"]}
        for wrong in ({"name": "bob", "password": PASSWORD}, {"name": "maria", "password": "ü"}):
            assert maria.post("/sign-in", wrong).status == 401
        right = {"name": "maria", "password": PASSWORD}
        assert maria.post("/sign-in", right, user_agent="Laptop").status == 200
        assert maria.get("/cart").json == {"of": "maria", "cart": ["hat"]}
        assert maria.get("/me").json["sub"] == "maria"
        mine = phone.post("/sign-in", right, user_agent="Phone").json
        listed = maria.get("/sessions").json
        assert [one["user_agent"] for one in listed] == ["Phone", "Laptop"]
        assert maria.ask("DELETE", f"/sessions/{mine['sid']}", None, {"sec-fetch-site": "cross-site"}).status == 403
        assert maria.ask("DELETE", f"/sessions/{mine['sid']}", None, {"sec-fetch-site": "same-origin"}).status == 200
        assert phone.get("/me").status == 401
        assert maria.ask("DELETE", "/sessions/nobodys", None, {"sec-fetch-site": "same-origin"}).status == 404
        phone.post("/sign-in", right)
        assert maria.post("/elsewhere/sign-out").status == 200
        assert phone.get("/me").status == 401
        assert maria.get("/me").status == 200
        assert maria.post("/sign-out").status == 200
        assert maria.get("/me").status == 401
    assert "Traceback" not in program.said


def kick_from_every_worker(program, store, sign_in, who, sub="maria"):
    """
    See to it that every worker knows the session, end it, and ask each of them.

    Args:
        sign_in: Signs a browser in. who: asks who it is; the status, and which process answered. sub: the subject.
    """
    maria = program.browser()
    sign_in(maria)
    policy = Policy(origins=(ORIGIN,))
    with blocking.Coatcheck(store, policy=policy, secret=SECRET) as elsewhere:
        seen, lock = set(), threading.Lock()

        def ask():
            status, process = who(maria.tab())
            with lock:
                assert status == 200
                seen.add(process)

        def at_once(work, times):
            threads = [threading.Thread(target=work) for _ in range(times)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        for _ in range(60):
            at_once(ask, 12)
            if len(seen) >= WORKERS:
                break
        assert len(seen) == WORKERS, "every worker has answered from its memory"
        (session,) = elsewhere.sessions_of(sub)
        elsewhere.revoke(session.sid)
        statuses = []
        at_once(lambda: statuses.append(who(maria.tab())[0]), 60)
        assert statuses == [401] * 60


@pytest.mark.long
@pytest.mark.parametrize("server", [postgres.shared, valkey.shared], ids=["postgresql", "valkey"])
def test_fastapi_with_four_workers(server):
    """Four processes, started by uvicorn; kicked means out on the very next request to any of them."""
    port, store = free_port(), server().url()
    with running(uvicorn(port, "--workers", str(WORKERS)), ROOT, port=port, env=env(store)) as program:

        def sign_in(browser):
            assert browser.post("/sign-in", {"name": "maria", "password": PASSWORD}).status == 200

        def who(browser):
            answer = browser.get("/me")
            return answer.status, answer.json.get("process")

        kick_from_every_worker(program, store, sign_in, who)


def gunicorn(port, app):
    """Four workers, forked from a process that has loaded the application."""
    options = ["--preload", "--workers", str(WORKERS), "--worker-class", "gthread", "--threads", "4"]
    return [sys.executable, "-m", "gunicorn", *options, "--bind", f"127.0.0.1:{port}", app]


def form(browser, path, **fields):
    """Send a form as a page of ours does."""
    body = urllib.parse.urlencode(fields)
    ours = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
    return browser.send("POST", path, body, ours)


def test_flask(tmp_path):
    """A cart, the sign-in that was asked for, devices, ending one of them, the safe, sign out."""
    port = free_port()
    command = [sys.executable, "-m", "flask", "--app", "examples.flask_app.app", "run", "--port", str(port)]
    with running(command, ROOT, port=port, env=env(f"sqlite:///{tmp_path}/coatcheck.db")) as program:
        maria, phone = program.browser(), program.browser()
        assert b"nothing yet" in maria.get("/").body
        assert form(maria, "/cart", thing="<b>hat</b>").fields["location"] == "/"
        assert b"&lt;b&gt;hat&lt;/b&gt;" in maria.get("/").body
        assert maria.get("/devices", accept="text/html").fields["location"] == "/sign-in?next=/devices"
        assert b'name="next" value="/devices"' in maria.get("/sign-in?next=/devices").body
        assert b'name="next" value="/"' in maria.get("/sign-in?next=//evil.example").body
        for wrong in ({"name": "bob", "password": PASSWORD}, {"name": "maria", "password": "ü"}, {}):
            assert form(maria, "/sign-in", **wrong).status == 401
        answer = form(maria, "/sign-in", name="maria", password=PASSWORD, next="/devices")
        assert answer.fields["location"] == "/devices"
        assert b"hat" in maria.get("/").body
        form(phone, "/sign-in", name="maria", password=PASSWORD)
        listed = maria.get("/devices").body.decode()
        (sid,) = re.findall(r"/devices/([^/]+)/end", listed)
        assert "(this one)" in listed
        assert maria.send("POST", f"/devices/{sid}/end", None, {"Sec-Fetch-Site": "cross-site"}).status == 403
        assert form(maria, f"/devices/{sid}/end").status == 303
        assert b"That session has ended." in maria.get("/devices").body
        assert phone.get("/devices").status == 401
        assert form(maria, "/devices/nobodys/end").status == 404
        assert b"It is open" in maria.get("/safe").body
        assert form(maria, "/sign-out").status == 303
        assert maria.get("/devices").status == 401
    assert "Traceback" not in program.said


@pytest.mark.long
@pytest.mark.parametrize("server", [postgres.shared, valkey.shared], ids=["postgresql", "valkey"])
def test_flask_with_four_workers(server):
    """Four processes, forked by gunicorn from one that has loaded everything; kicked means out at each of them."""
    port, store = free_port(), server().url()
    with running(gunicorn(port, "examples.flask_app.app:app"), ROOT, port=port, env=env(store)) as program:

        def sign_in(browser):
            assert form(browser, "/sign-in", name="maria", password=PASSWORD).status == 303

        def who(browser):
            answer = browser.get("/me")
            return answer.status, answer.json["process"] if answer.status == 200 else None

        kick_from_every_worker(program, store, sign_in, who)


MANAGE = [sys.executable, str(ROOT / "examples/django_app/manage.py")]


@pytest.fixture
def site(tmp_path):
    """The Django example in a folder of its own, with Maria; its environment."""

    def make(store):
        path = f"{ROOT / 'src'}{os.pathsep}{ROOT}"
        found = {**env(store), "DJANGO_SUPERUSER_PASSWORD": PASSWORD, "PYTHONPATH": path}
        maria = ["createsuperuser", "--noinput", "--username", "maria", "--email", "maria@example.com"]
        for command in (
            ["migrate", "--verbosity", "0"],
            maria,
            ["check", "--fail-level", "WARNING", "--tag", "security"],
        ):
            done = subprocess.run(
                [*MANAGE, *command], cwd=tmp_path, env=os.environ | found, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
        return found

    return make


def log_in(browser, password=PASSWORD, after="/"):
    """Send Django's own form."""
    return form(browser, "/sign-in", username="maria", password=password, next=after)


@pytest.mark.long
def test_django(tmp_path, site):
    """A cart, the sign-in that was asked for, devices, another password, the admin, sign out."""
    port = free_port()
    settings = site(f"sqlite:///{tmp_path}/coatcheck.db")
    with running([*MANAGE, "runserver", "--noreload", str(port)], tmp_path, port=port, env=settings) as program:
        maria, phone = program.browser(), program.browser()
        assert form(maria, "/", thing="<b>hat</b>").fields["location"] == "/"
        assert b"&lt;b&gt;hat&lt;/b&gt;" in maria.get("/").body
        assert maria.get("/devices", accept="text/html").fields["location"] == "/sign-in?next=/devices"
        assert b"Please enter a correct" in log_in(maria, "wrong").body
        assert log_in(maria, after="/devices").fields["location"] == "/devices"
        assert b"hat" in maria.get("/").body
        log_in(phone)
        listed = maria.get("/devices").body.decode()
        (sid,) = re.findall(r"/devices/([^/]+)/end", listed)
        assert "(this one)" in listed
        assert maria.send("POST", f"/devices/{sid}/end", None, {"Sec-Fetch-Site": "cross-site"}).status == 403
        assert form(maria, f"/devices/{sid}/end").status == 302
        assert b"That session has ended." in maria.get("/devices").body
        assert phone.get("/devices").status == 401
        assert form(maria, "/devices/nobodys/end").status == 404
        log_in(phone)
        fresh = "another password"
        answer = form(maria, "/password", old_password=PASSWORD, new_password1=fresh, new_password2=fresh)
        assert answer.fields["location"] == "/devices"
        assert phone.get("/devices").status == 401
        assert b"hat" in maria.get("/").body
        assert maria.get("/devices").status == 200
        assert b"It is open" in maria.get("/safe").body
        assert b"this one" in maria.get("/admin/coatcheck/usersession/?q=maria").body
        assert form(maria, "/sign-out").status == 302
        assert maria.get("/devices").status == 401
    assert "Traceback" not in program.said


@pytest.mark.long
@pytest.mark.parametrize("server", [postgres.shared, valkey.shared], ids=["postgresql", "valkey"])
def test_django_with_four_workers(server, tmp_path, site):
    """Four processes, forked by gunicorn from one that has loaded everything; kicked means out at each of them."""
    port, store = free_port(), server().url()
    settings = site(store)
    with running(gunicorn(port, "examples.django_app.wsgi"), tmp_path, port=port, env=settings) as program:

        def sign_in(browser):
            assert log_in(browser).status == 302

        def who(browser):
            answer = browser.get("/me")
            return answer.status, answer.json["process"] if answer.status == 200 else None

        kick_from_every_worker(program, store, sign_in, who, sub="1")


@pytest.mark.long
def test_three_services(tmp_path):
    """One token is passed down; who is not named refuses it, and all do once the session has ended."""
    with contextlib.ExitStack() as stack:
        port = free_ports(4)
        store = f"sqlite:///{tmp_path}/coatcheck.db"
        settings = {**env(store), "PORT": str(port), "ORIGIN": ORIGIN}
        command = [sys.executable, "-m", "examples.three_services"]
        program = stack.enter_context(running(command, ROOT, port=port, env=settings))
        for number in (1, 2, 3):
            program.await_port(port + number)
        maria = program.browser()
        assert maria.get("/order").status == 401
        assert maria.post("/sign-in", {"name": "maria", "password": PASSWORD}).status == 200
        found = maria.get("/order").json
        assert (found["of"], found["mail"], found["stock"]["asked for"]) == ("maria", 401, "maria")
        with blocking.Coatcheck(store, issuer=ORIGIN, secret=SECRET) as elsewhere:
            (session,) = elsewhere.sessions_of("maria")
            tokens = {name: elsewhere.fresh_token(session, audience=name) for name in ("orders", "stock", "mail")}
            for number, name in enumerate(tokens, start=1):
                path = {"orders": "/order", "stock": "/stock", "mail": "/mail"}[name]
                service = At(f"127.0.0.1:{port + number}", ORIGIN)
                statuses = {of: service.get(path, authorization=f"Bearer {one}").status for of, one in tokens.items()}
                assert statuses == {of: 200 if of == name else 401 for of in tokens}, name
            elsewhere.revoke(session.sid)
            assert maria.get("/order").status == 401
            for number, (name, token) in enumerate(tokens.items(), start=1):
                path = {"orders": "/order", "stock": "/stock", "mail": "/mail"}[name]
                service = At(f"127.0.0.1:{port + number}", ORIGIN)
                assert service.get(path, authorization=f"Bearer {token}").status == 401, name
    assert "Traceback" not in program.said
