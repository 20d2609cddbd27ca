"""kill -9 at any point loses nothing that was acknowledged."""

import collections
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coatcheck import Coatcheck, Reason, Refused

VICTIM = Path(__file__).with_name("victim.py")


def start(story, url, seed=0):
    return subprocess.Popen(
        [sys.executable, VICTIM, story, url, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def killed(url, seed):
    """Start a victim, kill it at a point that *seed* chooses, and return what it said."""
    chance = random.Random(seed)
    with start("busy", url, seed) as victim:
        lines = [victim.stdout.readline() for _ in range(chance.randrange(1, 250))]
        until = time.monotonic_ns() + chance.randrange(5_000_000)
        while time.monotonic_ns() < until:
            pass  # not a nap: the point is to be somewhere within a commit
        victim.kill()
        lines += victim.stdout.readlines()
    assert victim.returncode == -signal.SIGKILL
    return [line.decode().split() for line in lines if line.endswith(b"\n")]


class Ledger:
    """What was acknowledged, over all rounds."""

    def __init__(self):
        self.tokens = {}
        self.ending = set()
        self.ended = set()
        self.keys = collections.defaultdict(set)

    def add(self, lines):
        for word, sid, *rest in lines:
            if word == "signed-in":
                self.tokens[sid] = rest[0]
            elif word == "data":
                self.keys[sid].add(rest[0])
            else:
                getattr(self, word).add(sid)

    async def missing(self, auth):
        """Return what was acknowledged and is not so."""
        for sid, token in self.tokens.items():
            found = await auth.check(token)
            if sid in self.ended and found:
                yield "ended", sid
            if sid in self.ending:
                continue  # under way when the process died, or ended
            if not found:
                yield "signed-in", sid
            elif not self.keys[sid] <= set(await auth.data(sid)):
                yield "data", sid


async def survives(url, rounds):
    ledger = Ledger()
    for seed in range(rounds):
        ledger.add(killed(url, seed))
        async with Coatcheck(url) as auth:
            assert [missing async for missing in ledger.missing(auth)] == []
    return ledger


async def test_what_was_acknowledged_survives_kill_9(url):
    """Whenever a process is killed, sign-ins, revocations and data keys it acknowledged are there."""
    ledger = await survives(url, 15)
    assert len(ledger.tokens) > 300 and len(ledger.ended) > 100 and len(ledger.keys) > 100


@pytest.mark.long
async def test_what_was_acknowledged_survives_kill_9_many_times(url):
    """The same, 120 times."""
    ledger = await survives(url, 120)
    assert len(ledger.tokens) > 3000


async def test_a_writer_killed_between_commit_and_pulse_is_noticed(url, clock):
    """A revocation whose writer died before it could beat the pulse is in force within BACKSTOP_S all the same."""
    async with Coatcheck(url, clock=clock) as auth:
        one, other = await auth.sign_in("maria"), await auth.sign_in("maria")
        assert auth.check_now(one.token) and auth.check_now(other.token)
        pulse = auth._store.pulse[0]
        with start("between", url) as victim:
            victim.communicate(one.session.sid.encode() + b"\n", timeout=30)
        assert victim.returncode == -signal.SIGKILL
        assert auth._store.pulse[0] == pulse
        assert auth.check_now(one.token), "the story is of a revocation that memory could not know"
        clock.outrun_backstop()
        assert not auth.check_now(one.token)
        assert await auth.check(one.token) == Refused(Reason.REVOKED)
        assert auth.check_now(other.token)
