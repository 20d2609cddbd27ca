"""
What a worker does: a seeded mix of everything the public interface offers, on sessions that all workers share.

Rules of this module:

1. Only public names of :mod:`coatcheck`.
2. What has an unknown outcome is written down as that: the store did not answer, or the barrier was not complete.
3. Whatever else is raised is a fault, and so is what does not return.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import json
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from coatcheck import BarrierIncomplete, Coatcheck, Refused, Session, SignedIn, StoreUnavailable, TokenPair
from soak.board import Board, Ticket, name
from soak.history import Recorder, Running, now
from soak.looking import PATIENCE_S, Hot, Looking, describe

AUDIENCE, CLIENT = "soak", "soak-client"
SUBJECTS = 8
SUBJECTS_LAST_S = 10  # then there are others, so that nobody has too many sessions
LEAST, MOST = 12, 40  # live sessions
WEIGHTS = {
    "sign_in": 24.0,
    "sign_in_late": 4.0,
    "revoke": 28.0,
    "revoke_user": 4.0,
    "revoke_everyone": 0.2,
    "renew": 12.0,
    "claims": 6.0,
    "claims_then_revoke": 5.0,
    "data": 12.0,
    "mint": 12.0,
    "issue_refresh": 4.0,
    "refresh": 12.0,
    "refresh_twice": 2.0,
    "replay": 1.0,
}

_T = TypeVar("_T")


class Story:
    """
    The writers of one worker.

    Args:
        started: When the run began, as the history counts.

    Attributes:
        ended: How many revocations were acknowledged.
    """

    def __init__(
        self, auth: Coatcheck, recorder: Recorder, board: Board, looking: Looking, *, seed: str, started: int
    ) -> None:
        self.auth = auth
        self.recorder = recorder
        self.board = board
        self.looking = looking
        self.chance = random.Random(seed)
        self.stopping = False
        self.ended = 0
        self._started = started
        self._serial = 0
        self._kept: collections.deque[tuple[int, Session]] = collections.deque(maxlen=32)
        self._refreshes: collections.OrderedDict[str, Ticket] = collections.OrderedDict()  # sid -> its newest
        self._spent: collections.deque[Ticket] = collections.deque(maxlen=32)
        self._counters: collections.Counter[tuple[str, str]] = collections.Counter()
        self._keys: dict[str, list[str]] = collections.defaultdict(list)  # sid -> keys that were acknowledged

    # --- what is known ---

    def hear(self) -> None:
        """Take what others have posted."""
        for ticket in self.board.news():
            if ticket.kind == "r":
                self._hear_refresh(ticket)
            else:
                self.looking.add(ticket)

    def _hear_refresh(self, ticket: Ticket) -> None:
        before = self._refreshes.pop(ticket.sid, None)
        if before is not None and before.text != ticket.text:
            self._spent.append(before)
        self._refreshes[ticket.sid] = ticket
        while len(self._refreshes) > 32:
            self._refreshes.popitem(last=False)

    def _live(self) -> list[Hot]:
        return [hot for hot in self.looking.sessions.values() if not hot.refused]

    def _unique(self) -> str:
        self._serial += 1
        return f"{self.recorder.process}.{self._serial}"

    def _subject(self) -> str:
        turn = (now() - self._started) // (SUBJECTS_LAST_S * 1_000_000_000)
        return f"subject-{turn}-{self.chance.randrange(SUBJECTS)}"

    # --- doing ---

    async def write(self, *, pause_s: float) -> None:
        """Change things at random until told to stop."""
        kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
        while not self.stopping:
            live = self._live()
            kind = self.chance.choices(kinds, weights)[0]
            if not LEAST <= len(live) <= MOST:
                kind = "sign_in" if len(live) < LEAST else "revoke"
            # Often a new one: others are just reading it.
            hot = live[-1 - int(len(live) * self.chance.random() ** 2)] if live else None
            await getattr(self, f"_{kind}")(hot)
            await asyncio.sleep(self.chance.uniform(0, pause_s))

    async def _try(
        self, kind: str, call: Coroutine[Any, Any, _T | Refused], **fields: Any
    ) -> tuple[Running, _T | None]:
        """Do something that may change something; return what it answered, or None when that was no, or nothing."""
        running = self.recorder.start(kind, **fields)
        try:
            async with asyncio.timeout(PATIENCE_S):
                answer = await call
        except StoreUnavailable:
            running.done("unknown", reason="unavailable")
            self.looking.counted["writes unavailable"] += 1
            await asyncio.sleep(0.02)
        except BarrierIncomplete:
            running.done("committed", reason="incomplete")
            self.looking.counted["writes incomplete"] += 1
        except TimeoutError:
            running.done("unknown")
            self.recorder.note("crash", running.op.begin, note=f"{kind} did not return within {PATIENCE_S:.0f} s")
        except Exception as error:
            running.done("unknown")
            self.recorder.note("crash", running.op.begin, note=f"{kind} raised {describe(error)}")
        else:
            if not isinstance(answer, Refused):
                return running, answer
            running.done("refused", reason=str(answer.reason))
        return running, None

    async def _ask(self, call: Coroutine[Any, Any, _T]) -> _T | None:
        """Read something; None when the store does not answer."""
        begin = now()
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await call
        except StoreUnavailable:
            await asyncio.sleep(0.02)
        except (TimeoutError, Exception) as error:
            self.recorder.note("crash", begin, note=f"a reading raised {describe(error)}")
        return None

    async def _sign_in(self, hot: Hot | None, generation: int | None = None, sub: str = "", **since: int) -> None:
        sub, value = sub or self._subject(), self._unique()
        claims = {"n": value, "roles": ["soak"]}
        call: Coroutine[Any, Any, SignedIn | Refused]
        if generation is None:
            call = self.auth.sign_in(sub, claims=claims, amr=("pwd",))
        else:
            call = self.auth.sign_in(sub, claims=claims, amr=("pwd",), generation=generation)
        running, signed_in = await self._try("sign_in", call, sub=sub, claims=value, **since)
        if signed_in is not None:
            session, text = signed_in.session, signed_in.token.reveal()
            running.done(sid=session.sid, token=name(text), version=session.version)
            self.board.post(Ticket("s", session.sid, sub, session.version, text))

    async def _sign_in_late(self, hot: Hot) -> None:
        """Sign in as one does who checks a password in between."""
        sub, since = self._subject(), now()
        generation = await self._ask(self.auth.generation(sub))
        if generation is not None:
            until = now()
            what = self.chance.random()
            if what < 0.3:  # the password is changed meanwhile
                await self._end_user(sub)
            elif what < 0.5:
                await self._change_claims(sub)
            else:
                await asyncio.sleep(self.chance.uniform(0, 0.05))
            await self._sign_in(hot, generation, sub, since=since, until=until)

    async def _revoke(self, hot: Hot) -> None:
        sid, sub, chance = hot.ticket.sid, hot.ticket.sub, self.chance.random()
        of = sub if chance < 0.5 else "somebody-else" if chance < 0.54 else None
        for _ in range(3):
            call: Coroutine[Any, Any, Any] = self.auth.revoke(sid) if of is None else self.auth.revoke(sid, of=of)
            running, receipt = await self._try("revoke", call, sid=sid)
            if receipt is not None:
                running.done()
                self.ended += 1
            if running.op.outcome != "committed":
                break

    async def _revoke_user(self, hot: Hot) -> None:
        await self._end_user(hot.ticket.sub, keep=hot.ticket.sid if self.chance.random() < 0.5 else None)

    async def _end_user(self, sub: str, *, keep: str | None = None) -> None:
        call = self.auth.revoke_user(sub, keep=keep)
        running, receipt = await self._try("revoke_user", call, sub=sub, keep=keep or "")
        if receipt is not None:
            running.done()
            self.ended += 1

    async def _revoke_everyone(self, hot: Hot) -> None:
        running, receipt = await self._try("revoke_everyone", self.auth.revoke_everyone())
        if receipt is not None:
            running.done()
            self.ended += 1

    async def _renew(self, hot: Hot) -> None:
        ticket = hot.ticket
        call = self.auth.renew(ticket.text, amr=("pwd", "otp") if self.chance.random() < 0.3 else None)
        running, renewed = await self._try("renew", call, sid=ticket.sid, sub=ticket.sub, token=hot.name)
        if renewed is not None:
            text = renewed.token.reveal()
            running.done(fresh=name(text), version=renewed.session.version)
            self.board.post(Ticket("s", ticket.sid, ticket.sub, renewed.session.version, text))

    async def _claims(self, hot: Hot) -> None:
        await self._change_claims(hot.ticket.sub)

    async def _change_claims(self, sub: str) -> None:
        value = self._unique()
        call = self.auth.update_claims(sub, set={"n": value})
        running, receipt = await self._try("claims", call, sub=sub, claims=value)
        if receipt is not None:
            running.done()

    async def _claims_then_revoke(self, hot: Hot) -> None:
        """End a session just when all processes read it again."""
        await self._claims(hot)
        await asyncio.sleep(self.chance.uniform(0, 0.01))
        await self._revoke(hot)

    # --- data ---

    async def _data(self, hot: Hot) -> None:
        sid, chance = hot.ticket.sid, self.chance.random()
        if chance < 0.15 and self._keys[sid]:
            await self._change_data(sid, gone=(self._keys[sid].pop(),))
        elif chance < 0.55:
            key = self._unique()
            if await self._change_data(sid, data={key: 1}):
                self._keys[sid].append(key)
        else:
            # One writer each, which makes one write after the other.
            task = asyncio.current_task()
            counter = f"count-{self.recorder.process}-{task.get_name() if task else ''}"
            self._counters[sid, counter] += 1
            await self._change_data(sid, data={counter: self._counters[sid, counter]})
        begin = now()
        found = await self._ask(self.auth.data(sid))
        if isinstance(found, Refused):
            self.recorder.note("read_data", begin, sid=sid, outcome="refused", reason=str(found.reason))
        elif found is not None:
            self.recorder.note("read_data", begin, sid=sid, data=found)

    async def _change_data(self, sid: str, *, data: dict[str, int] | None = None, gone: tuple[str, ...] = ()) -> bool:
        call = self.auth.update_data(sid, set=data or {}, unset=gone)
        running, receipt = await self._try("write_data", call, sid=sid, data=data or {}, gone=gone)
        if receipt is not None:
            running.done()
        return receipt is not None

    # --- tokens ---

    async def _session(self, hot: Hot) -> tuple[int, Session] | None:
        """A session as a check gives it, and when that was asked for."""
        begin = now()
        found = await self._ask(self.auth.check(hot.ticket.text))
        if not isinstance(found, Session):
            return None
        self.looking.note(hot, found, begin, now(), warm=False)
        self._kept.append((begin, found))
        return begin, found

    async def _mint(self, hot: Hot) -> None:
        """Sign for a session just checked, or for one that was checked some time ago."""
        old = self.chance.choice(self._kept) if self._kept and self.chance.random() < 0.3 else None
        checked = old or await self._session(hot)
        if checked is None:
            return
        since, session = checked
        fields: dict[str, Any] = {"sid": session.sid, "version": session.version, "since": since}
        begin = now()
        try:
            minted = self.auth.access_token(session, audience=AUDIENCE)
        except Exception as error:
            self.recorder.note("crash", begin, note=f"access_token raised {describe(error)}")
            return
        end = now()
        if isinstance(minted, Refused):
            self.recorder.note("mint", begin, end=end, outcome="refused", reason=str(minted.reason), **fields)
            self.looking.counted["mints refused"] += 1
        else:
            self.recorder.note("mint", begin, end=end, jwt=name(minted), **{**fields, "version": version_in(minted)})
            self.board.post(Ticket("j", session.sid, session.sub or "", version_in(minted), minted))

    async def _issue_refresh(self, hot: Hot) -> None:
        checked = await self._session(hot)
        if checked is not None:
            since, session = checked
            call = self.auth.issue_refresh(session, client_id=CLIENT, audience=AUDIENCE)
            fields = {"sid": session.sid, "version": session.version, "since": since}
            running, pair = await self._try("issue_refresh", call, **fields)
            if pair is not None:
                self._keep_pair(running, pair, hot.ticket)

    async def _refresh(self, hot: Hot) -> None:
        if self._refreshes:
            # Often the newest: others come with it, too.
            tickets = list(self._refreshes.values())
            await self.present(tickets[-1] if self.chance.random() < 0.5 else self.chance.choice(tickets))

    async def _refresh_twice(self, hot: Hot) -> None:
        """Come twice at once, as two tabs do."""
        if self._refreshes:
            ticket = self.chance.choice(list(self._refreshes.values()))
            await asyncio.gather(self.present(ticket), self.present(ticket))

    async def _replay(self, hot: Hot) -> None:
        """Come with an old refresh token, as a thief does."""
        if self._spent:
            await self.present(self._spent.popleft())

    async def present(self, ticket: Ticket) -> None:
        """Refresh."""
        call = self.auth.refresh(ticket.text, client_id=CLIENT)
        running, pair = await self._try("refresh", call, sid=ticket.sid, token=name(ticket.text))
        if pair is not None:
            self._keep_pair(running, pair, ticket)
        elif running.op.outcome == "refused" and running.op.reason != "unsure":
            self._refreshes.pop(ticket.sid, None)

    def _keep_pair(self, running: Running, pair: TokenPair, of: Ticket) -> None:
        text, version = pair.refresh_token.reveal(), version_in(pair.access_token)
        running.done(fresh=name(text), jwt=name(pair.access_token), version=version)
        self.board.post(Ticket("r", of.sid, of.sub, version, text))
        self.board.post(Ticket("j", of.sid, of.sub, version, pair.access_token))


def version_in(jwt: str) -> int:
    """Return the version that an access token speaks of."""
    payload = jwt.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["ver"])
