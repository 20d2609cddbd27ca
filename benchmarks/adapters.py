"""
What Coatcheck costs in each framework, beside the same application without it, and beside the framework's own sessions.

    python benchmarks/adapters.py                # about six minutes
    python benchmarks/adapters.py --quick        # about two and a half
    python benchmarks/adapters.py --only flask   # starlette, fastapi, flask, django

What is compared takes turns in the same minutes, and each ratio is the median over the rounds of that within a round.
Starlette and FastAPI are measured under uvicorn, asked by wrk (and once more in this process, where what is added shows
most, in microseconds); Flask and Django in this process, one request after the other.

The Valkey is on this machine. Flask itself has no sessions on a server; those of Flask-Session are measured where it is
installed (``pip install flask-session cachelib``).
"""

import argparse
import asyncio
import contextlib
import io
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import types
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from _measure import async_rounds, progress, ratio, rounds, show, verdict
from check import free_port, one_token, serve

from coatcheck import Policy, blocking

ORIGIN = "https://app.example.com"
COOKIE = "__Host-session"
FIELDS = {
    "host": "app.example.com",
    "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "accept": "text/html,application/xhtml+xml",
    "accept-language": "en-GB,en;q=0.5",
    "accept-encoding": "gzip, deflate, br",
    "sec-fetch-site": "same-origin",
}
POLICY = Policy(origins=(ORIGIN,))


def valkey():
    """Return the URL of a Valkey of our own; None where there is none."""
    try:
        from tests.servers import valkey as servers
    except ImportError:
        return None
    return servers.shared().url()


# --- ASGI ---


def asgi_request(app, token):
    """Return a coroutine function that makes one request."""
    fields = [(name.encode(), value.encode()) for name, value in FIELDS.items()]
    if token is not None:
        fields.append((b"cookie", f"theme=dark; {COOKIE}={token}".encode()))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise AssertionError(message)

    async def request():
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "https",
            "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": list(fields),
            "client": ("203.0.113.9", 5), "server": ("app.example.com", 443), "state": {},
        }  # fmt: skip
        await app(scope, receive, send)

    return request


SERVED = """
import os
from typing import Annotated
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from coatcheck import Coatcheck
from coatcheck.fastapi import CurrentSession, SessionMiddleware

auth = Coatcheck(os.environ["STORE"])


async def bare(request):
    return JSONResponse({"sub": "maria"})


async def ours(request):
    return JSONResponse({"sub": request.scope["coatcheck"].sub})


starlette_bare = Starlette(routes=[Route("/", bare)])
starlette_ours = Starlette(
    routes=[Route("/", ours)], middleware=[Middleware(SessionMiddleware, auth=auth)], lifespan=auth.lifespan
)
fastapi_bare, fastapi_ours = FastAPI(), FastAPI(lifespan=auth.lifespan)
fastapi_ours.add_middleware(SessionMiddleware, auth=auth)


async def who(request: Request):
    return request.cookies.get("__Host-session")


@fastapi_bare.get("/")
async def without(token: Annotated[str, Depends(who)]):
    return {"sub": "maria"}


@fastapi_ours.get("/")
async def with_us(session: CurrentSession):
    return {"sub": session.sub}
"""


async def in_process(name, folder, count, repeat):
    """One request after the other, signed in, from memory: what is added, in microseconds."""
    served = types.ModuleType("served")
    os.environ["STORE"] = f"sqlite:///{folder}/{name}.db"
    exec(SERVED, vars(served))
    async with served.auth:
        token = (await served.auth.sign_in("maria")).token.reveal()
        apps = {"without": getattr(served, f"{name}_bare"), "with Coatcheck": getattr(served, f"{name}_ours")}
        cases = {said: asgi_request(app, token) for said, app in apps.items()}
        show(f"{name}: one request in this process, signed in", await async_rounds(cases, count=count, repeat=repeat))


def under_uvicorn(name, folder, pairs):
    """The same application under uvicorn, asked by wrk, with and without us, turn by turn."""
    if not shutil.which("wrk"):
        print("        under uvicorn: wrk is not on this machine, left out")
        return
    store = f"sqlite:///{folder}/{name}-served.db"
    token = asyncio.run(one_token(store))
    Path(folder, "served.py").write_text(SERVED)
    ports = {kind: free_port() for kind in ("bare", "ours")}
    servers = [serve(folder, f"{name}_{kind}", port, store) for kind, port in ports.items()]
    rates = {kind: [] for kind in ports}
    try:
        for number in range(pairs):
            progress(number + 1, pairs)
            for kind, port in list(ports.items())[:: -1 if number % 2 else 1]:
                rates[kind].append(wrk_rate(port, token))
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    paired = sorted(ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True))
    print(f"{name}: under uvicorn and wrk, {pairs} pairs: {paired[0]:.2f} to {paired[-1]:.2f}")
    verdict("rate with Coatcheck, of that without", statistics.median(paired), 0.90, at_most=False)


def wrk_rate(port, token):
    """Return requests per second over two seconds, by 16 connections."""
    pin = ["taskset", "-c", "1"] if shutil.which("taskset") else []
    command = [*pin, "wrk", "-t1", "-c16", "-d2s", "-H", f"Cookie: {COOKIE}={token}", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])


# --- WSGI ---


def wsgi_request(app, path, cookie):
    """Return a function that makes one request, and keeps no cookie of its response."""
    fields = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in FIELDS.items()}
    if cookie is not None:
        fields["HTTP_COOKIE"] = f"theme=dark; {cookie}"

    def start_response(status, fields, exc_info=None):
        if not status.startswith("200"):
            raise AssertionError(status)

    def request():
        environ = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", "SERVER_NAME": "app",
            "SERVER_PORT": "443", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "203.0.113.9", "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.multithread": True,
            "wsgi.multiprocess": True, "wsgi.run_once": False, **fields,
        }  # fmt: skip
        answer = app(environ, start_response)
        try:
            b"".join(answer)
        finally:
            getattr(answer, "close", lambda: None)()

    return request


def redis_of(store):
    """The address of a Valkey, as others write it."""
    return store.partition("?")[0].replace("valkey:", "redis:")


def flask_apps(folder, store):
    """Return name -> (application, cookie): without sessions, with ours, and with Flask-Session's."""
    from flask import Flask, session

    from coatcheck.flask import Sessions, current_session

    apps, closing = {}, []
    bare = Flask("bare")
    bare.get("/who")(lambda: {"sub": "maria"})
    apps["Flask"] = bare, None
    for name, url in {"SQLite": f"sqlite:///{folder}/flask.db", "Valkey": store}.items():
        if url is None:
            continue
        auth = blocking.Coatcheck(url, policy=POLICY)
        closing.append(auth)
        app = Flask("ours")
        Sessions(app, auth=auth)
        app.get("/who", endpoint="who")(lambda: {"sub": current_session.sub})
        app.get("/count", endpoint="count")(lambda: {"n": _count(session)})
        done = auth.sign_in("maria")
        auth.update_data(done.session.sid, set={"n": 0})
        apps[f"Coatcheck on {name}"] = app, f"{COOKIE}={done.token.reveal()}"
    with contextlib.suppress(ImportError):
        apps |= flask_session_apps(folder, store, session)
    return apps, closing


def flask_session_apps(folder, store, session):
    """Flask-Session's, on what it has that processes can share."""
    import redis
    from cachelib.file import FileSystemCache
    from flask import Flask
    from flask_session import Session

    apps = {}
    kinds = {"files": {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": FileSystemCache(f"{folder}/flask-session")}}
    if store is not None:
        kinds["Valkey"] = {
            "SESSION_TYPE": "redis",
            "SESSION_REDIS": redis.Redis.from_url(store.partition("?")[0].replace("valkey:", "redis:")),
        }
    for name, config in kinds.items():
        app = Flask("theirs")
        app.config |= {**config, "SESSION_COOKIE_NAME": "s", "SESSION_PERMANENT": False}
        Session(app)

        @app.get("/begin")
        def begin():
            session["sub"], session["n"] = "maria", 0
            return {}

        app.get("/who", endpoint="who")(lambda: {"sub": session["sub"]})
        app.get("/count", endpoint="count")(lambda: {"n": _count(session)})
        set_cookie = app.test_client().get("/begin").headers["Set-Cookie"]
        apps[f"Flask-Session on {name}"] = app, set_cookie.partition(";")[0]
    return apps


def _count(session):
    session["n"] += 1
    return session["n"]


def flask(folder, store, count, repeat):
    """Who is it, and a counter in the session."""
    apps, closing = flask_apps(folder, store)
    try:
        compare("Flask", "Flask-Session", apps, count=count, repeat=repeat)
    finally:
        for auth in closing:
            auth.close()


def compare(title, theirs, apps, *, count, repeat):
    """Measure both paths over all applications; compare ours with the fastest of theirs."""
    for path in ("/who", "/count"):
        cases = {
            name: wsgi_request(app, path, cookie)
            for name, (app, cookie) in apps.items()
            if path == "/who" or cookie is not None
        }
        times = rounds(cases, count=count, repeat=repeat)
        show(f"{title}: {'who is it' if path == '/who' else 'a counter in the session, read and written'}", times)
        others = [name for name in cases if name.startswith(theirs)]
        if path == "/who" and title in cases:
            print(f"        Coatcheck on SQLite, of no session: {1 / ratio(times, 'Coatcheck on SQLite', title):.2f}")
        if not others:
            print(f"        {theirs} is not installed, so there is nothing to compare with")
            continue
        fastest = min(others, key=lambda name: sorted(times[name])[len(times[name]) // 2])
        for name in [one for one in cases if one.startswith("Coatcheck")]:
            verdict(f"rate of {name}, of {fastest}", 1 / ratio(times, name, fastest), 1.0, at_most=False)


# --- Django ---


def django(folder, store, count, repeat):
    """Who is logged in, and a counter in the session, over Django's own engines and ours."""
    import django as djangos
    from django.conf import settings

    redis_url = None if store is None else redis_of(store)
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    if redis_url is not None:
        caches["valkey"] = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": redis_url}
    middleware = ["django.contrib.sessions.middleware.SessionMiddleware"]
    settings.configure(
        SECRET_KEY="of a benchmark", ALLOWED_HOSTS=["*"], BASE_DIR=folder, ROOT_URLCONF="bench_urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{folder}/django.sqlite3"}},
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "coatcheck.django",
        ],
        CACHES=caches, MIDDLEWARE=middleware, SESSION_COOKIE_NAME=COOKIE, SESSION_COOKIE_SECURE=True,
        SESSION_FILE_PATH=str(folder), COATCHECK={"STORE": f"sqlite:///{folder}/coatcheck.db", "ORIGINS": (ORIGIN,)},
        USE_TZ=True, LOGGING_CONFIG=None,
    )  # fmt: skip
    djangos.setup()
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.http import JsonResponse
    from django.test import override_settings
    from django.urls import path

    from coatcheck.django import conf

    call_command("migrate", verbosity=0)
    urls = sys.modules["bench_urls"] = types.ModuleType("bench_urls")
    urls.urlpatterns = [
        path("who", lambda request: JsonResponse({"sub": request.session.get("_auth_user_id")})),
        path("count", lambda request: JsonResponse({"n": _count(request.session)})),
    ]
    engines = {
        "Django's db (SQLite)": ("django.contrib.sessions.backends.db", "default"),
        "Django's cached_db (memory, SQLite)": ("django.contrib.sessions.backends.cached_db", "default"),
        "Django's file": ("django.contrib.sessions.backends.file", "default"),
    }
    if redis_url is not None:
        engines["Django's cache (Valkey)"] = ("django.contrib.sessions.backends.cache", "valkey")
    engines["Coatcheck on SQLite"] = ("coatcheck.django", "default")
    apps = {}
    for name, (engine, alias) in engines.items():
        module = sys.modules[f"bench_{len(apps)}"] = types.ModuleType(f"bench_{len(apps)}")
        module.SessionStore = _fixed(engine, alias)
        ours = "coatcheck.django.middleware.SessionMiddleware"
        kinds = [ours] if engine == "coatcheck.django" else middleware
        with override_settings(SESSION_ENGINE=module.__name__, MIDDLEWARE=kinds):
            app = get_wsgi_application()
        session = module.SessionStore()
        session["_auth_user_id"], session["_auth_user_backend"], session["_auth_user_hash"] = "1", "b", "h"
        session["n"] = 0
        session.save()
        apps[name] = app, f"{COOKIE}={session.session_key}"
    try:
        compare("Django", "Django's", apps, count=count, repeat=repeat)
        print(
            "        cached_db answers from this one process's memory what another may have ended since; of all that is"
        )
        print("        compared here only its db, and Coatcheck, have a write on the disk when the response goes out")
    finally:
        conf.reset()


def _fixed(engine, alias):
    """An engine's SessionStore that has its own cache, whatever the settings say later."""
    from importlib import import_module

    from django.core.cache import caches

    kind = import_module(engine).SessionStore
    if engine == "coatcheck.django":
        return kind

    class SessionStore(kind):
        def __init__(self, session_key=None):
            super().__init__(session_key)
            if hasattr(self, "_cache"):
                self._cache = caches[alias]

    return SessionStore


def main():
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", choices=["starlette", "fastapi", "flask", "django"], help="one framework")
    args = parser.parse_args()
    count, repeat = (40, 100) if args.quick else (100, 200)
    print(f"Python {platform.python_version()}, {os.cpu_count()} processors")
    os.environ.setdefault("COATCHECK_SECRET", "YmVuY2htYXJrIGJlbmNobWFyayBiZW5jaG1hcmsgYmVuY2g")
    with tempfile.TemporaryDirectory() as folder:
        wanted = [args.only] if args.only else ["starlette", "fastapi", "flask", "django"]
        store = valkey() if {"flask", "django"} & set(wanted) else None
        for name in ("starlette", "fastapi"):
            if name in wanted:
                asyncio.run(in_process(name, folder, count, repeat))
                under_uvicorn(name, folder, 6 if args.quick else 12)
        if "flask" in wanted:
            flask(folder, store, count, repeat)
        if "django" in wanted:
            django(folder, store, count, repeat)


if __name__ == "__main__":
    main()
