"""The tutorial's last program is taken from the page and used, so the page cannot rot."""

import re
import types
from pathlib import Path

import httpx
import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "tutorial" / "first-app.md"
SESSION = "__Host-session"


def programs():
    """All programs of the page, the complete one last. Fragments, which await outside of a function, are not."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "app = Starlette(" in block]


def load(source, folder, monkeypatch):
    """Run *source* as ``app.py`` in an empty folder."""
    monkeypatch.chdir(folder)
    module = types.ModuleType("app")
    exec(compile(source, "app.py", "exec"), vars(module))
    return module


def browser(module, origin="http://localhost:8000"):
    """Somebody with a browser. httpx sends Secure cookies back over https only; browsers make an exception."""
    transport = httpx.ASGITransport(app=module.app)
    base_url = origin.replace("http:", "https:")
    return httpx.AsyncClient(transport=transport, base_url=base_url, headers={"origin": origin})


async def test_the_complete_program(tmp_path, monkeypatch, capsys):
    """Sign in, the page, sign out, and what must not work."""
    module = load(programs()[-1], tmp_path, monkeypatch)
    password = re.search(r"password (\S+)", capsys.readouterr().out)[1]
    async with module.auth, browser(module) as client:
        assert (await client.get("/")).headers["location"] == "/sign-in"
        assert '<input name="name"' in (await client.get("/sign-in")).text

        for fields in ({}, {"name": "maria", "password": "ö"}, {"name": "bob", "password": password}):
            assert (await client.post("/sign-in", data=fields)).status_code == 401
        evil = {"origin": "https://evil.example"}
        right = {"name": "maria", "password": password}
        assert (await client.post("/sign-in", data=right, headers=evil)).status_code == 403
        assert SESSION not in client.cookies

        answer = await client.post("/sign-in", data=right)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "Hello, maria" in (await client.get("/")).text

        token = client.cookies[SESSION]
        assert (await client.post("/sign-out")).status_code == 303
        assert SESSION not in client.cookies
        assert not await module.auth.check(token)
    assert {path.name for path in tmp_path.iterdir()} >= {"coatcheck.db", "coatcheck.db-secret"}


async def test_a_session_outlives_the_process_and_ends_from_elsewhere(tmp_path, monkeypatch):
    """Steps 6 and 7 of the page: a second start knows the session, and another engine ends it."""
    source = programs()[-1]
    first = load(source, tmp_path, monkeypatch)
    async with first.auth:
        begun = await first.auth.sign_in("maria")
    second, other = (load(source, tmp_path, monkeypatch) for _ in range(2))
    async with second.auth, other.auth, browser(second) as client:
        client.cookies.set(SESSION, begun.token.reveal())
        assert (await client.get("/")).status_code == 200
        await other.auth.revoke_user("maria")
        assert (await client.get("/")).status_code == 303


@pytest.mark.parametrize("number", range(3))
async def test_every_step_runs(tmp_path, monkeypatch, number):
    """Each program on the way is a whole one."""
    steps = programs()
    assert len(steps) == 3
    module = load(steps[number], tmp_path, monkeypatch)
    transport = httpx.ASGITransport(app=module.app)
    async with (
        module.app.router.lifespan_context(module.app),
        httpx.AsyncClient(transport=transport, base_url="https://localhost:8000") as client,
    ):
        assert (await client.get("/")).status_code == (303 if number == 2 else 200)
