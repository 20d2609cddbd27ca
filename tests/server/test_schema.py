"""The JSON interface does what its description says, for an administrator and for a stranger (schemathesis)."""

import asyncio
import json
import threading
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
import requests
import schemathesis
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as conformance

from coatcheck import Coatcheck, Policy
from coatcheck.server import api, database, openapi, run
from coatcheck.server.accounts import claims_of
from coatcheck.server.app import build_app
from coatcheck.server.passwords import Passwords
from coatcheck.server.site import Site, policy_for

PASSWORD = "correct horse battery"
SESSION = "__Host-session"


def schema_of(description, *, edges):
    """Make cases of *description*; edges: also those at and beyond each limit that it names."""
    phases = {name: {"enabled": False} for name in ("examples", "stateful", *(() if edges else ("coverage",)))}
    generation = {"deterministic": True, "no-shrink": True}
    config = schemathesis.config.SchemathesisConfig.from_dict({"generation": generation, "phases": phases})
    return schemathesis.openapi.from_dict(description, config=config)


def bounded(examples):
    """The same few examples each time."""
    health = list(HealthCheck)
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=health)


DESCRIPTION = json.loads(json.dumps(openapi.describe(api.ENDPOINTS)))
SCHEMA = schema_of(DESCRIPTION, edges=True)
CHECKS = [
    checks.not_a_server_error,
    conformance.status_code_conformance,
    conformance.content_type_conformance,
    conformance.response_headers_conformance,
    conformance.response_schema_conformance,
    conformance.unsupported_method,
]


class Running:
    """A server in a thread of its own, and what a test wants of its inside."""

    def __init__(self, folder):
        self._folder = folder
        self._ready = Future()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)

    def __enter__(self):
        self._thread.start()
        self._ready.result(30)
        return self

    def __exit__(self, *exc_info):
        self._server.should_exit = True
        self._thread.join(30)

    async def _serve(self):
        try:
            listening = run.listen("127.0.0.1", 0, "--port")
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            store = f"sqlite:///{self._folder}/coatcheck.db"
            hasher = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
            self.site = Site(
                Coatcheck(store, policy=policy_for(Policy(), (self.url,)), issuer=self.url),
                database.from_url(store),
                hasher=hasher,
            )
            self._loop = asyncio.get_running_loop()
            async with self.site.lifespan():
                add = self.site.accounts.add
                self.root = await add("Root", PASSWORD, is_admin=True, by=None)
                now = self.site.clock.now()
                await self.site.clients.add("page", ["orders"], is_browser=True, now=now)
                _, self.secret = await self.site.clients.add("orders-api", ["orders"], now=now)
                self.maria = await add("Maria", PASSWORD, is_admin=False, by=None)
                self._server = run._Side(run._config(build_app(self.site, opens=False)))
                self._ready.set_result(None)
                await self._server.serve(sockets=[listening])
            listening.close()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    def _there(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def add(self, name):
        """Add an administrator."""
        return self._there(self.site.accounts.add(name, PASSWORD, is_admin=True, by=None))

    def enter(self, user):
        """Begin a session, one that has just given the password, and return it with its token."""
        signed_in = self._there(self.site.auth.sign_in(user.id, claims=claims_of(user), amr=("pwd",)))
        return SimpleNamespace(token=signed_in.token.reveal(), sid=signed_in.session.sid)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One server for all cases: they find it in whatever state the last one left it."""
    with Running(tmp_path_factory.mktemp("schema")) as server:
        yield server


@pytest.fixture(scope="module")
def http():
    """Connections that are used again."""
    with requests.Session() as session:
        yield session


def send(case, running, http, *, token=None, auth=None):
    """Send one case, as a program does, and hold the answer against the description."""
    cookies = {} if token is None else {SESSION: token}
    http.cookies.clear()
    case.cookies.clear()
    return case.call_and_validate(base_url=running.url, session=http, cookies=cookies, checks=CHECKS, auth=auth)


@SCHEMA.parametrize()
@bounded(8)
def test_an_administrator_gets_what_the_description_says(case, running, http):
    """Any input, right and wrong, each with a session of its own: no fault, and no answer that is not described."""
    send(case, running, http, token=running.enter(running.root).token)


OF_CLIENTS = {path: DESCRIPTION["paths"][path] for path in ("/feed", "/feed/{node}")}


@schema_of(DESCRIPTION | {"paths": OF_CLIENTS}, edges=True).parametrize()
@bounded(8)
def test_a_client_gets_what_the_description_says(case, running, http):
    """Any input, right and wrong."""
    send(case, running, http, auth=("orders-api", running.secret))


@schema_of(DESCRIPTION, edges=False).parametrize()
@bounded(4)
def test_a_stranger_gets_what_the_description_says(case, running, http):
    """Without a session, and with a cookie that opens nothing."""
    answer = send(case, running, http)
    open_to_all = {"set_up", "sign_in", "sign_out"}
    if case.operation.definition.raw.get("operationId") not in open_to_all:
        assert answer.status_code in (401, 403, 404, 405)


BODIES = {
    "sign_in": {"username": "Maria", "password": PASSWORD},
    "freshen": {"password": PASSWORD},
    "change_password": {"current_password": PASSWORD, "new_password": "another good one"},
    "add_user": {"username": "Zoe", "password": PASSWORD},
    "change_user": {"disabled": False},
    "token": {"audience": "orders"},
    "feed": {"label": "host"},
}


@pytest.mark.parametrize(
    "endpoint", [one for one in api.ENDPOINTS if one.handler.__name__ != "set_up"], ids=lambda one: one.handler.__name__
)
def test_what_is_asked_rightly_is_answered_as_described(endpoint, running, http):
    """A success at each address, so that it is not the refusals alone that are compared."""
    # Somebody new: the cases above have filled the others' counts of wrong passwords.
    user, victim = (running.add(f"{endpoint.handler.__name__} {number}") for number in range(2))
    caller, other = running.enter(user), running.enter(victim)
    is_own = endpoint.path == "/api/sessions/{sid}"
    paths = {"id": victim.id, "sid": running.enter(user).sid if is_own else other.sid, "node": "0" * 32}
    case = SCHEMA[endpoint.path][endpoint.method].Case(
        path_parameters={name: value for name, value in paths.items() if f"{{{name}}}" in endpoint.path},
        **({"body": BODIES[endpoint.handler.__name__], "media_type": "application/json"} if endpoint.body else {}),
    )
    auth = ("orders-api", running.secret) if endpoint.who == "client" else None
    assert send(case, running, http, token=caller.token, auth=auth).status_code == endpoint.status


def test_every_documented_query_is_taken(running, http):
    """The smallest, the largest, each of the named values: 200 or 204."""
    for one in api.ENDPOINTS:
        operation = DESCRIPTION["paths"][one.path][one.method.lower()]
        for parameter in operation["parameters"]:
            if parameter["in"] == "query":
                schema = parameter["schema"].get("items", parameter["schema"])
                values = schema.get("enum") or [schema[key] for key in ("minimum", "maximum") if key in schema]
                for value in values or ["", "x" * schema["maxLength"], "\U0001f9e5" * schema["maxLength"]]:
                    answer = http.request(
                        one.method,
                        running.url + one.path,
                        params={parameter["name"]: value},
                        cookies={SESSION: running.enter(running.root).token},
                    )
                    assert answer.status_code == one.status, (one.path, parameter["name"], value, answer.text[:200])


def test_the_description_is_served_as_it_is(running, http):
    """What programs read is what is tested here."""
    answer = http.get(f"{running.url}/api/openapi.json")
    assert answer.headers["content-type"] == "application/json" and answer.json() == DESCRIPTION
