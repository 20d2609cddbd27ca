"""One of several processes that use one file at once and write down what they did (:mod:`soak.history`)."""

from __future__ import annotations

import asyncio
import collections
import os
import random
import time

from coatcheck import Coatcheck, Policy, Refused
from soak.history import Recorder, now

POLICY = Policy(sessions_per_subject=10_000)
SUBJECTS = [f"subject-{number}" for number in range(10)]
HOT = 24
WRITERS = 4


class Notices:
    """One file to which every process appends what it signed in, for all the others."""

    def __init__(self, path):
        self._handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._at = 0
        self._rest = b""

    def post(self, sid, sub, token):
        """Tell everyone of a token."""
        os.write(self._handle, f"{sid} {sub} {token}\n".encode())

    def news(self):
        """Return what was posted since this was last called."""
        if os.fstat(self._handle).st_size == self._at:
            return []
        text = os.pread(self._handle, 1 << 20, self._at)
        self._at += len(text)
        *lines, self._rest = (self._rest + text).decode().split("\n")
        self._rest = self._rest.encode()
        return [line.split() for line in lines]


class Worker:
    """Writes and checks until it has ended enough sessions, then checks on until all the others have, too."""

    def __init__(self, auth, number, folder, *, processes, revocations, seconds):
        self.auth = auth
        self.number = number
        self.folder = folder
        self.processes = processes
        self.revocations = revocations
        self.deadline = time.monotonic() + seconds
        self.random = random.Random(number)
        self.notices = Notices(folder / "notices")
        self.hot = collections.OrderedDict()  # token -> (sid, sub)
        self.refusals = collections.Counter()
        self.recorder = Recorder(folder, str(number))
        self.note = self.recorder.note
        self.ended = 0
        self.serial = 0

    async def run(self):
        """Do everything."""
        writers = [asyncio.create_task(self.write()) for _ in range(WRITERS)]
        done = asyncio.gather(*writers)
        done.add_done_callback(lambda _: (self.folder / f"done-{self.number}").touch())
        # Readers go on until the last writer of all processes is done.
        while not done.done() or any(not (self.folder / f"done-{at}").exists() for at in range(self.processes)):
            await self.read()
            if time.monotonic() > self.deadline + 10:
                break
        await done
        await self.read()
        self.recorder.close()

    async def read(self):
        """Check every hot token, many times over."""
        for sid, sub, token in self.notices.news():
            self.hot[token] = (sid, sub)
        while len(self.hot) > HOT:
            self.hot.popitem(last=False)
        for _ in range(20):
            for token in list(self.hot):
                begin = now()
                found = self.auth.check_now(token)
                end = now()
                warm = found is not None
                if not warm:
                    found = await self.auth.check(token)
                    end = now()
                fold_check(self.recorder, token, found, warm=warm, begin=begin, end=end)
                if not found:
                    # A refusal must last, so it is asked for again.
                    self.refusals[token] += 1
                    if self.refusals[token] > 50:
                        self.hot.pop(token, None)
            await asyncio.sleep(0)  # lets the writers in

    async def write(self):
        """Change things at random."""
        while self.ended < self.revocations and time.monotonic() < self.deadline:
            live = [(token, *whose) for token, whose in self.hot.items() if not self.refusals[token]]
            chance = self.random.random()
            if len(live) < HOT // 2 or chance < 0.30:
                await self.sign_in()
            else:
                await self.change(chance, *self.random.choice(live))

    async def change(self, chance, token, sid, sub):
        begin = now()
        if chance < 0.65:
            await self.auth.revoke(sid)
            self.note("revoke", begin, sid=sid)
            self.ended += 1
        elif chance < 0.78:
            renewed = await self.auth.renew(token)
            if renewed:
                fresh = renewed.token.reveal()
                version = renewed.session.version
                self.note("renew", begin, sid=sid, sub=sub, token=token, fresh=fresh, version=version)
                self.notices.post(sid, sub, fresh)
        elif chance < 0.87:
            value = self.unique()
            await self.auth.update_claims(sub, set={"n": value})
            self.note("claims", begin, sub=sub, claims=value)
        elif chance < 0.97:
            await self.change_data(sid)
        elif chance < 0.997:
            await self.auth.revoke_user(sub)
            self.note("revoke_user", begin, sub=sub)
        else:
            await self.auth.revoke_everyone()
            self.note("revoke_everyone", begin)

    async def sign_in(self):
        begin, sub, value = now(), self.random.choice(SUBJECTS), self.unique()
        signed_in = await self.auth.sign_in(sub, claims={"n": value})
        sid, token = signed_in.session.sid, signed_in.token.reveal()
        self.note("sign_in", begin, sid=sid, sub=sub, token=token, claims=value, version=1)
        self.notices.post(sid, sub, token)

    async def change_data(self, sid):
        begin, key = now(), self.unique()
        if not isinstance(await self.auth.update_data(sid, set={key: 1}), Refused):
            self.note("write_data", begin, sid=sid, data={key: 1})
        begin = now()
        found = await self.auth.data(sid)
        if not isinstance(found, Refused):
            self.note("read_data", begin, sid=sid, data=found)

    def unique(self):
        self.serial += 1
        return f"{self.number}.{self.serial}"


def fold_check(recorder, token, found, *, warm, begin, end):
    """Write down a check and what it showed."""
    if found:
        recorder.fold(begin, end, "check", "ok", "", found.sid, token, found.version, found.claims["n"], warm)
    else:
        recorder.fold(begin, end, "check", "refused", str(found.reason), "", token, 0, "", warm)


def work(number, folder, url, gate, *, processes, revocations, seconds):
    """The whole life of one process."""

    async def main():
        async with Coatcheck(url, policy=POLICY) as auth:
            gate.wait(60)
            worker = Worker(auth, number, folder, processes=processes, revocations=revocations, seconds=seconds)
            await worker.run()

    asyncio.run(main())


async def make_file(url):
    """Make the file, so that its making is no part of the story."""
    async with Coatcheck(url, policy=POLICY):
        pass


async def final_look(url, folder, ops):
    """Check every token and read all data with an engine that has seen nothing yet."""
    recorder = Recorder(folder, "final")
    tokens = {op.token: op.sid for op in ops if op.kind == "sign_in"}
    tokens |= {op.fresh: op.sid for op in ops if op.kind == "renew"}
    async with Coatcheck(url, policy=POLICY) as auth:
        for token in tokens:
            begin = now()
            found = await auth.check(token)
            fold_check(recorder, token, found, warm=False, begin=begin, end=now())
        for sid in set(tokens.values()):
            begin = now()
            found = await auth.data(sid)
            if not isinstance(found, Refused):
                recorder.note("read_data", begin, sid=sid, data=found)
    recorder.close()
