"""What docs/reference/feed.md says, said to a real server."""

import asyncio
import json
import os
import re
import shutil
from pathlib import Path

import httpx
import pytest
from tests.feed.issuer import soon, until

PAGE = Path(__file__).parent.parent.parent / "docs" / "reference" / "feed.md"
NODE = Path(__file__).parent.parent / "node"
BLOCK = re.compile(r"^```http *(\w*)\n(\w+) (\S+)\n(.*?)\n?\n(\d+)\n?(.*?)```", re.MULTILINE | re.DOTALL)
RANDOM = {"node", "sid", "kid", "x", "y"}


class Names:
    """Which of our random texts stands for which of the page's."""

    def __init__(self):
        self._real = {}

    def bind(self, said, real, at=()):
        """Hold what is *said* on the page against what is *real*: all of it is the same but for random texts."""
        if isinstance(said, dict):
            assert isinstance(real, dict) and said.keys() == real.keys(), at
            for name in said:
                self.bind(said[name], real[name], (*at, name))
        elif isinstance(said, list):
            assert len(said) == len(real), at
            for number, (one, other) in enumerate(zip(said, real, strict=True)):
                self.bind(one, other, (*at, number))
        elif at[-1] in RANDOM:
            assert self._real.setdefault(said, real) == real, at
            assert len(said) == len(real), at
        else:
            assert said == real, at

    def real(self, text):
        """Return *text* of the page with our own random texts in it."""
        for said, real in self._real.items():
            text = text.replace(said, real)
        return text


async def test_the_worked_exchange_goes_as_it_is_written(make_issuer):
    """Every request of the page gets the answer that stands below it."""
    issuer = await make_issuer()
    secret = await issuer.client("orders-api")
    signed_in, _ = await issuer.token()
    events = {
        "revoke": lambda: issuer.auth.revoke(signed_in.session.sid),
        "rotate": issuer.auth.rotate_keys,
        "everyone": issuer.auth.revoke_everyone,
    }
    names, under_way = Names(), []
    blocks = BLOCK.findall(PAGE.read_text())
    assert {event for event, *_ in blocks} == {"", *events} and len(blocks) == 6
    async with httpx.AsyncClient(base_url=issuer.url, auth=("orders-api", secret)) as http:
        for event, method, path, request, status, said in blocks:
            body = {"json": json.loads(names.real(request))} if request else {}
            asking = asyncio.create_task(http.request(method, names.real(path), **body))
            if event:
                await until(lambda: issuer.auth.feed._held["orders-api"])
                under_way.append(asyncio.create_task(events[event]()))
            answer = await soon(asking)
            assert str(answer.status_code) == status, answer.text
            if said.strip():
                names.bind(json.loads(said), answer.json())
    revoked = await soon(under_way[0])
    assert revoked.nodes == 1
    await soon(asyncio.gather(*under_way))


@pytest.mark.parametrize("page", [PAGE, PAGE.parent.parent / "how-to" / "protect-a-service.md"])
def test_the_pages_name_what_there_is(page):
    """The settings, the paths and the codes are those of the code."""
    text = page.read_text()
    for name in ("COATCHECK_CLIENT_ID", "COATCHECK_CLIENT_SECRET", "16"):
        assert name in text


# --- in another language ---


@pytest.fixture
async def start_elsewhere():
    """Starts services in JavaScript, written from the page; what it returns asks one about a token."""
    node = shutil.which("node")
    if node is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Node.js, and CI=true")
        pytest.skip("there is no Node.js here")
    started = []

    async def start(issuer):
        argv = [node, "feed.mjs", issuer.url, "orders-api", await issuer.client("orders-api"), "orders"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*argv, cwd=NODE, stdin=pipe, stdout=pipe)
        started.append(process)

        async def verify(jwt):
            process.stdin.write(jwt.encode() + b"\n")
            return (await soon(process.stdout.readline())).decode().strip()

        verify.process = process
        return verify

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()


async def test_a_service_written_from_the_page_refuses_on_its_next_verify(issuer, start_elsewhere):
    """Revoked, renewed, another key, everyone's end: it hears of each before the call returns."""
    elsewhere = await start_elsewhere(issuer)
    signed_in, jwt = await issuer.token("maria")
    renewed, old = await issuer.token("otto")
    await until(lambda: accepted(elsewhere, jwt, "maria"))
    assert (await soon(issuer.auth.revoke(signed_in.session.sid))).nodes == 1
    assert await elsewhere(jwt) == "refused revoked"
    await soon(issuer.auth.renew(renewed.token))
    assert await elsewhere(old) == "refused renewed"
    kid = issuer.auth.jwks()["keys"][0]["kid"]
    _, jwt = await issuer.token("maria")
    await soon(issuer.auth.revoke_key(kid))
    assert await elsewhere(jwt) == "refused unknown_key"
    _, jwt = await issuer.token("maria")
    assert await elsewhere(jwt) == "accepted maria"
    await soon(issuer.auth.revoke_everyone())
    assert (await elsewhere(jwt)).startswith("refused")
    _, jwt = await issuer.token("maria")
    await until(lambda: accepted(elsewhere, jwt, "maria"))
    (row,) = await issuer.nodes()
    assert row.label.startswith("orders-api: feed.mjs")
    elsewhere.process.stdin.close()
    await soon(elsewhere.process.wait())
    assert await issuer.nodes() == ()


async def test_a_service_written_from_the_page_is_unsure_without_its_issuer(make_issuer, start_elsewhere):
    """Its lease runs out, and what was revoked meanwhile is refused when the issuer is back."""
    issuer = await make_issuer(lease_s=0.8)
    elsewhere = await start_elsewhere(issuer)
    signed_in, jwt = await issuer.token("maria")
    _, other = await issuer.token("otto")
    await until(lambda: accepted(elsewhere, other, "otto"))
    await issuer.hang_up()
    await soon(issuer.auth.revoke(signed_in.session.sid))
    assert (await elsewhere(jwt)).startswith("refused")
    await until(lambda: unsure(elsewhere, other))
    await issuer.come_back()
    await until(lambda: accepted(elsewhere, other, "otto"))
    assert await elsewhere(jwt) == "refused revoked"


async def accepted(elsewhere, token, sub):
    return await elsewhere(token) == f"accepted {sub}"


async def unsure(elsewhere, token):
    return await elsewhere(token) == "refused unsure"
