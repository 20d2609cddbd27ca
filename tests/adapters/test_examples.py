"""The examples, started as their users start them and driven over HTTP; and with several workers."""

import sys
import threading

import pytest
from tests.adapters.programs import free_port, running
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


def kick_from_every_worker(program, store, sign_in, who):
    """
    See to it that every worker knows the session, end it, and ask each of them.

    Args:
        sign_in: Signs a browser in. who: asks who it is; the status, and which process answered.
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
        (session,) = elsewhere.sessions_of("maria")
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
