"""A Verifier on an issuer's feed, over real sockets: what is refused, when, and what it does when nobody answers."""

import asyncio
import contextlib
import http.server
import json
import logging
import os
import pickle
import ssl
import threading
from types import SimpleNamespace

import httpx
import pytest
from tests.feed.issuer import LONG_S, soon, until
from tests.feed.link import Link

import coatcheck.fleet.feed
from coatcheck import Claims, ConfigError, Forked, NotOpen, Refused, StoreUnavailable, Verifier
from coatcheck.cli import main
from coatcheck.clock import SystemClock
from coatcheck.fleet import feeding, posting
from coatcheck.server import tls
from coatcheck.server.accounts import claims_of
from coatcheck.testing.store_contract import make_stamp

SECRET = "s3cr3t-that-nobody-may-see"


@pytest.fixture
async def verifier(issuer):
    """A service on the feed."""
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    async with Verifier(issuer.url, audience="orders", feed=feed) as verifier:
        yield verifier


async def kicked(issuer, signed_in):
    """An administrator ends a session through the JSON interface."""
    root = await issuer.site.accounts.add("Root", "correct horse battery", is_admin=True, by=None)
    admin = await issuer.auth.sign_in(root.id, claims=claims_of(root), amr=("pwd",))
    cookie = {"cookie": f"__Host-session={admin.token.reveal()}"}
    async with httpx.AsyncClient(base_url=issuer.url, headers=cookie) as http:
        sub, sid = signed_in.session.sub, signed_in.session.sid
        answer = await http.delete(f"/api/users/{sub}/sessions/{sid}")
        assert answer.status_code == 204, answer.text


async def commanded(issuer, signed_in):
    """Somebody on the issuer's machine ends a session with the command."""
    database = f"sqlite:///{issuer.site.database._name}"
    argv = ["sessions", "revoke", signed_in.session.sid, "--store", issuer.store, "--database", database]
    assert await asyncio.to_thread(main, argv) == 0


ENDS = {
    "revoke": (lambda issuer, s: issuer.auth.revoke(s.session.sid), "revoked"),
    "revoke_user": (lambda issuer, s: issuer.auth.revoke_user(s.session.sub), "revoked"),
    "kick": (kicked, "revoked"),
    "command": (commanded, "revoked"),
    "renew": (lambda issuer, s: issuer.auth.renew(s.token), "renewed"),
    "claims": (lambda issuer, s: issuer.auth.update_claims(s.session.sub, set={"roles": []}), "renewed"),
    "key": (lambda issuer, s: issuer.auth.revoke_key(issuer.auth.jwks()["keys"][0]["kid"]), "unknown_key"),
    "everyone": (lambda issuer, s: issuer.auth.revoke_everyone(), "unknown_key"),
}


@pytest.mark.parametrize("how", ENDS)
async def test_a_token_is_refused_on_the_very_next_verify(issuer, verifier, how):
    """However its session ended or changed, in whichever process: when the call has returned, this service knows."""
    maria = await issuer.site.accounts.add("Maria", "correct horse battery", is_admin=False, by=None)
    signed_in, jwt = await issuer.token(maria.id)
    _, other = await issuer.token("otto")
    assert isinstance(verifier.verify(jwt), Claims)
    end, reason = ENDS[how]
    await soon(end(issuer, signed_in))
    assert not verifier.verify(jwt)
    await until(lambda: verifier.verify(jwt) == Refused(reason))
    assert bool(verifier.verify(other)) == (reason != "unknown_key")


async def test_the_barrier_waits_for_the_services_word(issuer, verifier):
    """It returns since the service has said that it applied the change, not since its lease has run out."""
    signed_in, _ = await issuer.token()
    receipt = await soon(issuer.auth.revoke(signed_in.session.sid))
    (row,) = await issuer.nodes()
    assert receipt.nodes == 1 and row.applied >= receipt.position and receipt.waited_s < LONG_S


async def test_a_new_key_is_known_before_anything_is_signed_with_it(issuer, verifier):
    """After a rotation the next token is accepted at once, and the old one still."""
    _, before = await issuer.token()
    await soon(issuer.auth.rotate_keys())
    _, after = await issuer.token()
    assert verifier.verify(before) and verifier.verify(after)
    assert verifier.verify(before).kid != verifier.verify(after).kid


async def test_keys_are_applied_before_they_are_acknowledged_in_the_middle_of_a_long_log(issuer, verifier, monkeypatch):
    """That a key was revoked is said in the first of many parts; asking for the second says that it is applied."""
    monkeypatch.setattr(feeding, "PAGE", 2)
    _, jwt = await issuer.token()
    store, accepts_at = issuer.auth._store, {}
    beat, arrived, go_on = issuer.guests.beat, asyncio.Event(), asyncio.Event()

    async def gated(node, **said):
        arrived.set()
        await go_on.wait()
        accepts_at[said["applied"]] = bool(verifier.verify(jwt))
        return await beat(node, **said)

    monkeypatch.setattr(issuer.guests, "beat", gated)
    await issuer.end("wakes it")
    await soon(arrived.wait())
    revoked = await store.drop_key(issuer.auth.jwks()["keys"][0]["kid"], stamp=make_stamp(1))
    last = [await issuer.end(f"s{number}") for number in range(6)][-1]
    go_on.set()
    await until(lambda: last in accepts_at)
    assert len([applied for applied in accepts_at if applied >= revoked]) > 2
    assert all(accepted == (applied < revoked) for applied, accepted in accepts_at.items())


async def test_a_long_log_is_learned_in_parts(issuer, monkeypatch):
    """What was revoked before the service began is refused from the first verify on."""
    monkeypatch.setattr(feeding, "PAGE", 3)
    tokens = []
    for number in range(10):
        signed_in, jwt = await issuer.token(f"user{number}")
        await issuer.auth.revoke(signed_in.session.sid)
        tokens.append(jwt)
    _, good = await issuer.token()
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    async with Verifier(issuer.url, audience="orders", feed=feed) as verifier:
        assert [verifier.verify(jwt).reason for jwt in tokens] == ["revoked"] * 10
        assert verifier.verify(good)


async def test_the_credentials_may_come_from_the_environment(issuer, monkeypatch):
    """And those in the URL count for more."""
    secret = await issuer.client("orders-api")
    monkeypatch.setenv("COATCHECK_CLIENT_ID", "orders-api")
    monkeypatch.setenv("COATCHECK_CLIENT_SECRET", secret + "\n")
    _, jwt = await issuer.token()
    async with Verifier(issuer.url, audience="orders", feed=issuer.url) as verifier:
        assert verifier.verify(jwt)
    monkeypatch.setenv("COATCHECK_CLIENT_SECRET", "wrong")
    async with Verifier(issuer.url, audience="orders", feed=issuer.feed("orders-api", secret)) as verifier:
        assert verifier.verify(jwt)


async def test_several_services_have_nodes_of_their_own(issuer):
    """A revocation waits for all of them."""
    secret = await issuer.client("orders-api")
    async with contextlib.AsyncExitStack() as stack:
        verifiers = [Verifier(issuer.url, audience="orders", feed=issuer.feed("orders-api", secret)) for _ in range(3)]
        for verifier in verifiers:
            await stack.enter_async_context(verifier)
        signed_in, jwt = await issuer.token()
        assert all(verifier.verify(jwt) for verifier in verifiers)
        assert (await soon(issuer.auth.revoke(signed_in.session.sid))).nodes == 3
        assert not any(verifier.verify(jwt) for verifier in verifiers)


# --- opening and closing ---


def feed_threads():
    return [thread for thread in threading.enumerate() if thread.name == "coatcheck-feed"]


async def test_closing_in_the_middle_of_a_poll_leaves_nothing(issuer):
    """The row is gone, the thread is gone, and nobody waits for the answer."""
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    verifier = Verifier(issuer.url, audience="orders", feed=feed)
    await verifier.open()
    await until(lambda: issuer.auth.feed._held["orders-api"])
    assert len(feed_threads()) == 1
    await soon(verifier.close())
    assert feed_threads() == [] and await issuer.nodes() == ()
    with pytest.raises(NotOpen):
        verifier.verify("x")
    await verifier.close()
    await verifier.open()
    assert len(await issuer.nodes()) == 1
    await verifier.close()


async def test_a_service_does_not_open_without_its_issuer(issuer, unused_tcp_port):
    """StoreUnavailable when nobody answers; ConfigError when the issuer does not know the client; nothing is left."""
    _, jwt = await issuer.token()
    nowhere = f"http://orders-api:{SECRET}@localhost:{unused_tcp_port}"
    for feed, error in ((nowhere, StoreUnavailable), (issuer.feed("orders-api", SECRET), ConfigError)):
        verifier = Verifier(issuer.url, audience="orders", feed=feed)
        with pytest.raises(error) as caught:
            await soon(verifier.open())
        assert SECRET not in str(caught.value) + repr(caught.value.__cause__) + repr(caught.value.__context__)
        with pytest.raises(NotOpen):
            verifier.verify(jwt)
    await until(lambda: not feed_threads())


@pytest.mark.parametrize(
    ("feed", "said"),
    [
        ("https://auth.example.com", "the client's id is missing"),
        ("https://orders-api@auth.example.com", "the client's secret is missing"),
        (f"https://:{SECRET}@auth.example.com", "the client's id is missing"),
        (f"http://orders-api:{SECRET}@auth.example.com", "is not the https URL"),
        (f"https://orders-api:{SECRET}@auth.example.com?x=1", "is not the https URL"),
        (f"https://orders-api:{SECRET}/@auth.example.com", "is not the https URL"),
        (f"https://orders-api:{SECRET}@auth.example.com:99999", "is not the https URL"),
        (f"https://orders-api:{SECRET}@[::1", "is not the https URL"),
        (f"ftp://orders-api:{SECRET}@auth.example.com", "neither a store"),
    ],
)
def test_a_wrong_feed_is_refused_with_its_remedy(feed, said):
    """By name, at once, and without showing what may be a secret."""
    with pytest.raises(ConfigError, match=f"feed: .*{said}") as caught:
        Verifier("https://auth.example.com", audience="orders", feed=feed)
    shown = str(caught.value) + repr(caught.value.__cause__)
    assert SECRET not in shown
    assert "COATCHECK_CLIENT_ID" in shown or "https" in shown


async def test_the_secret_is_shown_nowhere(issuer, caplog):
    """Not by any repr, not in an error, not in a log, whatever goes wrong."""
    caplog.set_level(logging.DEBUG)
    secret = await issuer.client("orders-api")
    verifier = Verifier(issuer.url, audience="orders", feed=issuer.feed("orders-api", secret))
    await verifier.open()
    feed = verifier._store
    await issuer.hang_up()
    await until(lambda: "no heartbeat" in caplog.text)
    shown = caplog.text + "".join(
        map(repr, (verifier, vars(verifier), feed, vars(feed), feed._poster, vars(feed._poster)))
    )
    assert secret not in shown
    with pytest.raises(TypeError):
        pickle.dumps(feed._poster._authorization)
    await verifier.close()
    await issuer.come_back()


async def test_in_a_forked_child_it_is_refused(issuer, verifier):
    """Nobody polls there; the parent goes on."""
    _, jwt = await issuer.token()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            verifier.verify(jwt)
        except Forked:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert verifier.verify(jwt)
    signed_in, jwt = await issuer.token()
    await soon(issuer.auth.revoke(signed_in.session.sid))
    assert not verifier.verify(jwt)


# --- when the issuer is away ---


async def test_it_goes_on_when_the_issuer_was_away_for_a_moment(issuer, verifier):
    """The server starts again: the same row, the same place; what was revoked meanwhile is refused."""
    signed_in, jwt = await issuer.token()
    (before,) = await issuer.nodes()
    await issuer.hang_up()
    await issuer.end(signed_in.session.sid)
    await issuer.come_back()
    await until(lambda: verifier.verify(jwt) == Refused("revoked"))
    (after,) = await issuer.nodes()
    assert after.id == before.id and after.beat > before.beat


async def test_without_its_issuer_it_is_unsure_and_heals_by_itself(make_issuer):
    """Within a lease it accepts nothing more; when the issuer is back it goes on without anybody's help."""
    issuer = await make_issuer(lease_s=0.5)
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    async with Verifier(issuer.url, audience="orders", feed=feed) as verifier:
        signed_in, jwt = await issuer.token()
        _, other = await issuer.token("otto")
        await until(lambda: verifier.verify(jwt))
        await issuer.hang_up()
        receipt = await soon(issuer.auth.revoke(signed_in.session.sid))
        assert not verifier.verify(jwt) and await issuer.awaited(receipt) == 1
        await until(lambda: verifier.verify(other) == Refused("unsure"))
        await issuer.come_back()
        await until(lambda: verifier.verify(other))
        assert verifier.verify(jwt) == Refused("revoked")


async def test_a_client_that_is_disabled_hears_nothing_more(make_issuer, caplog):
    """Its services accept nothing when their lease is over, and say why in the log."""
    issuer = await make_issuer(lease_s=0.5)
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    async with Verifier(issuer.url, audience="orders", feed=feed) as verifier:
        _, jwt = await issuer.token()
        await until(lambda: verifier.verify(jwt))
        await issuer.site.clients.disable("orders-api")
        await until(lambda: verifier.verify(jwt) == Refused("unsure"))
    assert "config" in {getattr(record, "code", None) for record in caplog.records}


@pytest.mark.parametrize("lost", ["loses_answers", "loses_requests"])
async def test_a_cut_in_one_direction(make_issuer, lost):
    """Heartbeats arrive and answers do not, or the other way round: a revocation still returns after one lease, and
    then the service accepts nothing. When the way is free again, it goes on.
    """
    async with Link() as link:
        issuer = await make_issuer(lease_s=0.6, origins=[link.origin])
        link.lead_to(issuer)
        feed = link.feed("orders-api", await issuer.client("orders-api"))
        async with Verifier(issuer.url, audience="orders", feed=feed) as verifier:
            signed_in, jwt = await issuer.token()
            _, other = await issuer.token("otto")
            await until(lambda: verifier.verify(jwt))
            setattr(link, lost, True)
            receipt = await soon(issuer.auth.revoke(signed_in.session.sid))
            assert await issuer.awaited(receipt) == 1
            assert not verifier.verify(jwt)
            await until(lambda: verifier.verify(other) == Refused("unsure"))
            setattr(link, lost, False)
            await until(lambda: verifier.verify(other))
            assert verifier.verify(jwt) == Refused("revoked")


async def test_two_servers_answer_one_service_in_turn(make_issuer):
    """Each connection ends at another one, and the service notices nothing but that it had to ask again."""
    async with Link() as link:
        a = await make_issuer(lease_s=LONG_S, origins=[link.origin])
        b = await make_issuer(issuer=a.issuer, origins=[link.origin])
        link.lead_to(a, b)
        feed = link.feed("orders-api", await a.client("orders-api"))
        async with Verifier(a.issuer, audience="orders", feed=feed) as verifier:
            (node,) = [row.id for row in await a.nodes()]
            for number in range(4):
                signed_in, jwt = await a.token()
                assert verifier.verify(jwt)
                revoker, connections = (a, b)[number % 2], link.connections
                link.cut()
                assert await a.awaited(await soon(revoker.auth.revoke(signed_in.session.sid))) == 1
                assert verifier.verify(jwt) == Refused("revoked")
                assert link.connections > connections
            assert [row.id for row in await b.nodes()] == [node]


# --- an issuer that is none ---


class Liar:
    """Answers every request in the same way."""

    def __init__(self, status, body, **headers):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.server.asked += 1
                self.rfile.read(int(self.headers["content-length"]))
                self.send_response(status)
                for name, value in ({"content-length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.asked = 0
        self.url = f"http://localhost:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self.server.shutdown()
        self.server.server_close()


NEWS = {"node": "0" * 32, "epoch": 1, "trimmed": 0, "head": 5, "upto": 5, "lease_s": 60.0, "changes": [], "keys": {}}
LINE = {"position": 3, "kind": "revoked", "sid": "s", "version": 2}


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": 0},
        {"epoch": "1"},
        {"upto": 6},
        {"trimmed": 6},
        {"trimmed": -1},
        {"head": -1, "upto": -1},
        {"lease_s": 0},
        {"lease_s": -1},
        {"lease_s": 61},
        {"lease_s": None},
        {"changes": [LINE, LINE | {"position": 2}]},
        {"changes": [LINE | {"position": 6}]},
        {"changes": [LINE | {"sid": ""}]},
        {"changes": [LINE | {"sid": None}]},
        {"changes": [LINE | {"version": "2"}]},
        {"changes": [LINE | {"kind": "forgotten"}]},
        {"changes": None},
        {"keys": []},
        {"node": None},
    ],
)
async def test_an_answer_that_cannot_be_is_no_answer(wrong):
    """Nothing of it is believed."""
    body = json.dumps(NEWS | wrong).encode()
    with Liar(200, body) as liar:
        verifier = Verifier(liar.url, audience="orders", feed=liar.url.replace("//", "//orders-api:x@"))
        with pytest.raises(StoreUnavailable, match="as a feed does"):
            await soon(verifier.open())


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "as a feed does"),
        (200, b"[" * 100_000, "as a feed does"),
        (200, b"{}", "as a feed does"),
        (200, b" " * (posting.LONGEST + 1), "HTTPException"),
        (204, b"", "as a feed does"),
        (301, b"", "answers 301"),
        (307, b"", "answers 307"),
        (403, b"{}", "answers 403"),
        (410, b"{}", "join"),
        (429, b"{}", "as many nodes"),
        (500, b"{}", "answers 500"),
        (503, b"{}", "answers 503"),
    ],
)
async def test_what_is_not_a_feed_is_not_joined(issuer, status, body, said):
    """No redirect is followed, nothing endless is read, and no error prolongs a lease."""
    elsewhere = issuer.feed("orders-api", await issuer.client("orders-api"))
    with Liar(status, body, location=f"{elsewhere}/feed") as liar:
        verifier = Verifier(issuer.url, audience="orders", feed=liar.url.replace("//", "//orders-api:x@"))
        with pytest.raises(StoreUnavailable, match=said):
            await soon(verifier.open())
        assert liar.server.asked == 1
    assert await issuer.nodes() == ()


async def test_who_never_answers_is_not_waited_for(monkeypatch):
    """Not even at the opening; and the thread that waited is let go."""
    monkeypatch.setattr(coatcheck.fleet.feed, "_JOIN_S", 0.05)
    said = []
    async with Link() as link:
        feed = link.feed("orders-api", "x")
        silent = await asyncio.start_server(lambda reader, writer: said.append(writer), "127.0.0.1", 0)
        link.lead_to(SimpleNamespace(port=silent.sockets[0].getsockname()[1]))
        with pytest.raises(StoreUnavailable, match="in time"):
            await soon(Verifier(link.origin, audience="orders", feed=feed).open())
        silent.close()
        assert said
        for writer in said:
            writer.close()
    await until(lambda: not feed_threads())


async def test_no_proxy_is_taken_from_the_environment(issuer, monkeypatch, unused_tcp_port):
    """Credentials go to the issuer and nowhere else."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_tcp_port}")
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    async with Verifier(issuer.url, audience="orders", feed=feed):
        assert len(await issuer.nodes()) == 1


async def test_only_a_certificate_that_is_trusted_is_spoken_to(make_issuer, tmp_path, monkeypatch):
    """A self-signed one is refused, also where somebody has switched the checks off for everything else; one's own
    authority is named in SSL_CERT_FILE.
    """
    pem = tmp_path / "both.pem"
    pem.write_bytes(tls.self_signed(["localhost"], now=SystemClock().now()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    issuer = await make_issuer(lease_s=LONG_S, tls=context)
    _, jwt = await issuer.token()
    feed = issuer.feed("orders-api", await issuer.client("orders-api"))
    monkeypatch.setattr(ssl, "_create_default_https_context", ssl._create_unverified_context)
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        await soon(Verifier(issuer.url, audience="orders", feed=feed).open())
    assert await issuer.nodes() == ()
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    async with Verifier(issuer.url, audience="orders", feed=feed) as verifier:
        signed_in, jwt = await issuer.token()
        assert verifier.verify(jwt)
        await soon(issuer.auth.revoke(signed_in.session.sid))
        assert not verifier.verify(jwt)
    with pytest.raises(StoreUnavailable, match="SSLCertVerificationError"):
        by_address = feed.replace("localhost", "127.0.0.1")
        await soon(Verifier(issuer.url, audience="orders", feed=by_address).open())
