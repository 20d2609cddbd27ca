"""Captured tokens, presented again after each way in which a session can end: access token and refresh token."""

import contextlib
from types import SimpleNamespace

import httpx
import pytest
from tests.server.commands import command, restored

from coatcheck import Claims, Reason, Refused, TokenPair, Verifier
from coatcheck.clock import DAY

ORIGIN = "https://auth.example.com"
PASSWORD = "correct horse battery"
CLIENT, AUDIENCE = "cli", "orders"


class Stage:
    """
    Maria's program, signed in for tokens; Maria and an administrator in their browsers; and who might be asked.

    Attributes:
        pairs: Every (access token, refresh token) that the program was given, all of them captured.
    """

    def __init__(self, site, program, people, maria, root):
        self.site, self.program, self.people, self.maria, self.root = site, program, people, maria, root
        self.pairs = []

    @property
    def user(self):
        return f"/api/users/{self.people.maria.id}"

    @property
    def sid(self):
        return self.site.auth.verify(self.pairs[0][0], audience=AUDIENCE).sid

    async def sign_in(self):
        body = {"username": "maria", "password": PASSWORD, "mode": "token", "client_id": CLIENT}
        return self._capture(await self.program.post("/api/sign-in", json=body))

    async def refresh(self):
        """What the program does, over and over, with the token that it got last."""
        return self._capture(await self.present(self.pairs[-1][1]))

    async def present(self, token):
        form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": CLIENT}
        return await self.program.post("/oauth/token", data=form)

    def _capture(self, answer):
        assert answer.status_code == 200, answer.text
        self.pairs.append((answer.json()["access_token"], answer.json()["refresh_token"]))
        return answer


@pytest.fixture
async def stage(app, site, people, enter):
    await site.clients.add(CLIENT, (AUDIENCE,), now=site.clock.now(), is_public=True, may_sign_in=True)
    root = await enter("root")
    assert (await root.patch(f"/api/users/{people.maria.id}", json={"admin": True})).is_success
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as program:
        stage = Stage(site, program, people, await enter("maria"), root)
        await stage.sign_in()
        yield stage


@pytest.fixture
async def others(site, make_site):
    """Who else is asked: another process of the server, and a service that verifies."""
    feed = f"sqlite:///{site.database._name}"
    async with (
        make_site().auth as near,
        Verifier(ORIGIN, audience=AUDIENCE, feed=feed, clock=site.clock) as verifier,
    ):
        yield SimpleNamespace(near=near, verifier=verifier)


# --- the ways ---


async def asked(answer):
    """Do it, over HTTP, and see that it was done."""
    found = await answer
    assert found.is_success, found.text


async def sign_out(s):
    await asked(s.program.post("/oauth/revoke", data={"token": s.pairs[-1][1], "client_id": CLIENT}))


async def password_change(s):
    body = {"current_password": PASSWORD, "new_password": "another good one"}
    await asked(s.maria.post("/api/password", json=body))


async def idle(s):
    s.site.clock.advance(s.site.auth.policy.idle_s)


async def absolute(s):
    """The program keeps its session busy to the end, and gets its last tokens a minute before."""
    (session,) = [one for one in await s.site.auth.sessions_of(s.people.maria.id) if one.sid == s.sid]
    while (left_s := session.expires_at - s.site.clock.now()) > 60:
        s.site.clock.advance(min(DAY, left_s - 60))
        await s.refresh()
    s.site.clock.advance(left_s)


async def theft(s):
    await s.refresh()
    await s.refresh()
    assert (await s.present(s.pairs[0][1])).json()["error"] == "invalid_grant"


async def key_revocation(s):
    await command(s.site, "keys", "revoke", s.site.auth.verify(s.pairs[0][0], audience=AUDIENCE).kid)


ENDS = {
    "sign-out": sign_out,
    "kick": lambda s: asked(s.maria.delete(f"/api/sessions/{s.sid}")),
    "password change": password_change,
    "disable": lambda s: asked(s.root.patch(s.user, json={"disabled": True})),
    "administrator, this session": lambda s: asked(s.root.delete(f"{s.user}/sessions/{s.sid}")),
    "administrator, all of hers": lambda s: asked(s.root.delete(f"{s.user}/sessions")),
    "administrator, her password": lambda s: asked(s.root.patch(s.user, json={"password": "set by the admin"})),
    "administrator, everyone": lambda s: asked(s.root.delete("/api/everyone/sessions")),
    "expiry, idle": idle,
    "expiry, absolute": absolute,
    "theft": theft,
    "restore": lambda s: restored(s.site),
    "panic": lambda s: command(s.site, "panic", "--yes"),
}
LIVES_ON = {
    "demotion": lambda s: asked(s.root.patch(s.user, json={"admin": False})),
    "key revocation": key_revocation,
}


@pytest.mark.parametrize("end", [*ENDS, *LIVES_ON])
async def test_what_was_captured_is_refused_after(stage, others, make_site, end):
    """
    Both kinds, in every process, one that starts afterwards included. A demotion and the end of a key end access tokens
    and no session, by design: there the refresh token gives what holds from now on, the new claims and the new key.
    """
    site, access = stage.site, stage.pairs[0][0]
    verifying = [site.auth, others.near]
    before = [auth.verify(access, audience=AUDIENCE) for auth in verifying] + [others.verifier.verify(access)]
    assert all(isinstance(one, Claims) and one.all["roles"] == ["admin"] for one in before)
    await {**ENDS, **LIVES_ON}[end](stage)
    async with contextlib.AsyncExitStack() as stack:
        verifying.append(await stack.enter_async_context(make_site().auth))
        # The newest first: an older refresh token would be taken for theft, and that would end what should have ended.
        for access, refresh in reversed(stage.pairs):
            for auth in verifying:
                assert isinstance(auth.verify(access, audience=AUDIENCE), Refused)
            assert isinstance(others.verifier.verify(access), Refused)
            if end in ENDS:
                for auth in verifying:
                    assert isinstance(await auth.refresh(refresh, client_id=CLIENT), Refused)
                assert (await stage.present(refresh)).json()["error"] == "invalid_grant"
        if end in LIVES_ON:
            await lives_on(stage, verifying, before[0], end)


async def lives_on(stage, verifying, before, end):
    """What was captured gives the rights of now, and only those, whichever process is asked; and no old key signs."""
    for auth in verifying:
        pair = await auth.refresh(stage.pairs[0][1], client_id=CLIENT)
        assert isinstance(pair, TokenPair)
        for other in verifying:
            claims = other.verify(pair.access_token, audience=AUDIENCE)
            assert isinstance(claims, Claims) and claims.sid == before.sid
            if end == "demotion":
                assert (claims.all["roles"], claims.version) == ([], before.version + 1)
            else:
                assert claims.kid != before.kid
    expected = Reason.RENEWED if end == "demotion" else Reason.UNKNOWN_KEY
    assert stage.site.auth.verify(stage.pairs[0][0], audience=AUDIENCE) == Refused(expected)
