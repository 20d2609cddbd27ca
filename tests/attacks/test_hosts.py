"""A forged Host: it shifts URLs that are built from it, and poisons links and caches (CVE-2026-48710)."""

import pytest
from tests.attacks.visitors import HOST, ask, door_of, shake, with_cookie

from coatcheck import Coatcheck, Policy


@pytest.fixture
def policy():
    """Two public origins, one with a port."""
    return Policy(origins=(f"https://{HOST}", "http://localhost:8000"))


@pytest.fixture
def url():
    """The door does not depend on the store."""
    return "memory://"


GOOD = [HOST, HOST.upper(), "localhost:8000"]
BAD = [
    None, "", "evil.example", "example.com", "www.app.example.com", f"{HOST}.", f"{HOST}:443", f"{HOST}:8000",
    "localhost", "localhost:8001", f"{HOST}/", f"{HOST}/x", f"{HOST}?x", f"{HOST}#x", f"{HOST}#@evil.example",
    f"evil.example@{HOST}", f"{HOST}@evil.example", f"evil.example/{HOST}", f"{HOST}, evil.example",
    f"{HOST} evil.example", f" {HOST}", f"{HOST}\t", f"{HOST}\0", f"{HOST}\xa0", "[::1]", "127.0.0.1", "*",
]  # fmt: skip


@pytest.mark.parametrize("host", GOOD)
async def test_a_public_host_is_served(door, host):
    """In any case of letters, since host names have none."""
    assert (await ask(door, host=host)).status == 200
    assert await shake(door, host=host) == "accepted"


@pytest.mark.parametrize("host", BAD, ids=ascii)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_another_host_is_421(door, host, method):
    """Missing, foreign or malformed: the application hears nothing, and no cache keeps the answer."""
    done = await door.auth.sign_in("maria")
    headers = with_cookie(done.token) | {"Sec-Fetch-Site": "same-origin"}
    answer = await ask(door, method, headers=headers, host=host)
    assert (answer.status, answer.one("cache-control"), answer.all("set-cookie")) == (421, "no-store", [])
    assert await shake(door, headers, host=host) == 1008
    assert door.app.scopes == []


@pytest.mark.parametrize("second", [HOST, "evil.example"])
async def test_a_doubled_host_is_421(door, second):
    """Two Host fields are never right, equal or not; proxies differ in which one they believe."""
    for first in (HOST, "evil.example"):
        assert (await ask(door, headers={"Host": second}, host=first)).status == 421


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-Host", "X-Forwarded-Server", "X-HTTP-Host-Override"]
)
async def test_no_other_header_is_a_host(door, name):
    """It neither lets a foreign host in nor keeps ours out."""
    assert (await ask(door, headers={name: HOST}, host="evil.example")).status == 421
    assert (await ask(door, headers={name: "evil.example"})).status == 200


async def test_an_excluded_path_is_no_way_around(auth):
    """Static files are asked for under our host, too."""
    door = door_of(auth, exclude=("/static/",))
    assert (await ask(door, path="/static/a.css", host="evil.example")).status == 421


async def test_without_origins_the_host_is_not_checked_and_not_used(clock):
    """Left out, any host is served; nothing of the answer depends on it."""
    async with Coatcheck("memory://", clock=clock) as auth:
        door = door_of(auth)
        answers = [await ask(door, host=host) for host in (HOST, "evil.example", None)]
    assert {answer.status for answer in answers} == {200}
    assert len({str(answer) for answer in answers}) == 1
