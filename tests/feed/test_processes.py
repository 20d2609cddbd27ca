"""The feed between processes that are stopped and killed."""

import asyncio
import contextlib
import json
import signal
import sys

import httpx
from tests.feed.issuer import set_lease, soon, until
from tests.feed.service import now

from coatcheck import Coatcheck, Refused, Verifier
from coatcheck.cli import main

LEASE_S = 0.8


@contextlib.asynccontextmanager
async def running(*argv):
    """A program with pipes, killed at the end."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process._transport.close()


async def test_a_service_that_stood_still_accepts_nothing_from_before(make_issuer):
    """Stopped for longer than its lease while a session is revoked, then set going: no verify that began after the
    return accepted the token.
    """
    issuer = await make_issuer(lease_s=LEASE_S)
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    signed_in, jwt = await issuer.token()
    async with running("-m", "tests.feed.service", issuer.url, feed, jwt) as service:
        assert await soon(service.stdout.readline()) == b"accepted\n"
        service.send_signal(signal.SIGSTOP)
        receipt = await soon(issuer.auth.revoke(signed_in.session.sid))
        returned = now()
        assert receipt.nodes == 1
        service.stdin.write(b"\n")
        service.send_signal(signal.SIGCONT)
        reason, last = (await soon(service.stdout.readline())).split()
        assert reason in (b"unsure", b"revoked")
        while reason != b"revoked":
            service.stdin.write(b"\n")
            reason, last = (await soon(service.stdout.readline())).split()
        assert 0 < float(last) < returned


async def test_a_service_outlives_its_server(store, unused_tcp_port, capfd):
    """The server is killed: no token of a session that has ended is accepted, and soon none at all. When it was started
    again the service goes on.
    """
    await set_lease(store, LEASE_S)
    url = f"http://localhost:{unused_tcp_port}"
    where = ("--store", store, "--database", store)
    serve = ("-m", "coatcheck.cli", "serve", *where, "--port", str(unused_tcp_port), "--metrics-port", "0")
    argv = ["clients", "add", "orders-api", "--audience", "orders", "--json", *where]
    assert await asyncio.to_thread(main, argv) == 0
    feed = url.replace("//", f"//orders-api:{secret_in(capfd.readouterr().out)}@")
    async with contextlib.AsyncExitStack() as stack:
        auth = await stack.enter_async_context(Coatcheck(store, issuer=url))
        tokens = {}
        for sub in ("maria", "otto"):
            signed_in = await auth.sign_in(sub)
            tokens[sub] = signed_in.session.sid, auth.access_token(signed_in.session, audience="orders")
        async with running(*serve) as server:
            await listening(url)
            verifier = await stack.enter_async_context(Verifier(url, audience="orders", feed=feed))
            await until(lambda: verifier.verify(tokens["maria"][1]))
            server.kill()
            receipt = await soon(auth.revoke(tokens["maria"][0]))
            assert receipt.nodes == 1 and not verifier.verify(tokens["maria"][1])
            await until(lambda: verifier.verify(tokens["otto"][1]) == Refused("unsure"))
        async with running(*serve):
            await until(lambda: verifier.verify(tokens["otto"][1]))
            assert verifier.verify(tokens["maria"][1]) == Refused("revoked")


def secret_in(printed):
    return json.loads(printed)["secret"]


async def listening(url):
    """Wait until a server is there."""
    async with httpx.AsyncClient(base_url=url) as http:

        async def answers():
            with contextlib.suppress(httpx.TransportError):
                return (await http.get("/healthz")).status_code == 200

        await until(answers)
