"""
A process that is killed: ``python victim.py STORY URL SEED``.

Says on its standard output what it is about to do, and what was acknowledged, a line each.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys

from coatcheck import Coatcheck, Policy, Refused
from coatcheck.stores._sqlite_pulse import Pulse

STORY, URL, SEED = sys.argv[1:]
chance = random.Random(int(SEED))


def say(*words):
    os.write(1, (" ".join(words) + "\n").encode())


async def writer(auth, name, mine):
    """Sign in, write data and end sessions, until killed."""
    for serial in range(1_000_000):
        kind = chance.random()
        if kind < 0.5 or not mine:
            signed_in = await auth.sign_in(name)
            mine.append((signed_in.session.sid, signed_in.token.reveal()))
            say("signed-in", *mine[-1])
        elif kind < 0.7:
            sid, _ = mine.pop(chance.randrange(len(mine)))
            say("ending", sid)
            await auth.revoke(sid)
            say("ended", sid)
        else:
            sid, _ = chance.choice(mine)
            key = f"{name}-{serial}"
            if not isinstance(await auth.update_data(sid, set={key: "x" * chance.randrange(200)}), Refused):
                say("data", sid, key)


async def busy():
    async with Coatcheck(URL, policy=Policy(sessions_per_subject=10_000)) as auth:
        await asyncio.gather(*(writer(auth, f"{SEED}-{number}", []) for number in range(8)))


async def between():
    """Die after the commit of a revocation and before its pulse."""
    sid = sys.stdin.readline().strip()
    async with Coatcheck(URL) as auth:
        Pulse.beat = lambda self: os.kill(os.getpid(), signal.SIGKILL)
        await auth.revoke(sid)
        say("survived")


asyncio.run({"busy": busy, "between": between}[STORY]())
