"""
Stories about fork, each in a process of its own: ``python forks.py STORY FOLDER``. Prints what it found as JSON.

The loop of the parent selects with ``select``: an epoll descriptor is shared with the child, whose shutdown would take
the parent's entries out of it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import selectors
import signal
import sys
from pathlib import Path

from coatcheck import Coatcheck, CoatcheckError, Forked, Verifier

STORY, FOLDER = sys.argv[1], Path(sys.argv[2])
URL = f"sqlite:///{FOLDER}/coatcheck.db"
ISSUER = "https://auth.example.com"
loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
run = loop.run_until_complete


class Line:
    """A line between parent and child: what one says the other hears."""

    def __init__(self):
        self._ends = os.pipe()

    def say(self, value=None):
        os.write(self._ends[1], json.dumps(value).encode() + b"\n")

    def hear(self):
        text = b""
        while not text.endswith(b"\n"):
            more = os.read(self._ends[0], 1)
            if not more:
                raise EOFError
            text += more
        return json.loads(text)


def fork(child):
    """Run *child* in a forked process, which leaves through the whole shutdown of the interpreter; return its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        sys.exit(child())
    return pid


def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def sign_in(auth, sub, count=3):
    return [(await auth.sign_in(sub)).token.reveal() for _ in range(count)]


async def live(auth, tokens):
    """Say of each token whether it opens a session."""
    return [bool(await auth.check(token)) for token in tokens]


def opened():
    auth = Coatcheck(URL)
    run(auth.open())
    return auth


def refused():
    """Every call on the parent's engine in the child; then both go on."""
    auth = opened()
    first = run(auth.sign_in("maria"))
    token, sid = first.token.reveal(), first.session.sid
    assert auth.check_now(token)
    wal = FOLDER / "coatcheck.db-wal"
    before = wal.stat()
    line = Line()

    def child():
        calls = {
            "check_now": lambda: auth.check_now(token),
            "check_now of an unknown token": lambda: auth.check_now("a" * 43),
            "recall": lambda: auth.recall(b"a" * 32),
            "derived_keys": lambda: auth.derived_keys("csrf 1"),
            "check": lambda: auth.check(token),
            "sign_in": lambda: auth.sign_in("maria"),
            "start": auth.start,
            "start with data": lambda: auth.start({"cart": 1}),
            "renew": lambda: auth.renew(token),
            "update_claims": lambda: auth.update_claims("maria", set={"a": 1}),
            "data": lambda: auth.data(sid),
            "update_data": lambda: auth.update_data(sid, set={"a": 1}),
            "revoke": lambda: auth.revoke(sid),
            "revoke_user": lambda: auth.revoke_user("maria"),
            "revoke_everyone": auth.revoke_everyone,
            "sessions_of": lambda: auth.sessions_of("maria"),
            "generation": lambda: auth.generation("maria"),
            "flush": auth.flush,
            "sweep": auth.sweep,
        }

        async def outcome(call):
            try:
                found = call()
                if asyncio.iscoroutine(found):
                    found = await asyncio.wait_for(found, 5)
            except CoatcheckError as error:
                return error.code
            return repr(found)

        async def all_of_them():
            said = {name: await outcome(call) for name, call in calls.items()}
            await auth.close()
            return said

        line.say(asyncio.run(all_of_them()))
        return 0

    code = wait(fork(child))
    said = line.hear()
    after = wal.stat()
    more = run(sign_in(auth, "maria"))
    ended = more.pop()
    run(auth.revoke(auth.check_now(ended).sid))
    found = {
        "child": said,
        "exit": code,
        "same wal": before.st_ino == after.st_ino and after.st_size >= before.st_size,
        "live in the parent": run(live(auth, [token, *more])),
        "ended in the parent": run(live(auth, [ended])),
    }
    run(auth.close())
    auth = opened()
    found["live after reopening"] = run(live(auth, [token, *more]))
    found["ended after reopening"] = run(live(auth, [ended]))
    run(auth.close())
    return found


def verifier():
    """A verifier that the parent opened, in the child: on the store, and on the engine."""
    auth = Coatcheck(URL, issuer=ISSUER)
    run(auth.open())
    token = auth.access_token(run(auth.sign_in("maria")).session, audience="orders")
    verifiers = {
        name: Verifier(ISSUER, audience="orders", feed=feed) for name, feed in (("store", URL), ("engine", auth))
    }
    for one in verifiers.values():
        run(one.open())
    line = Line()

    def child():
        async def outcome(one):
            try:
                return repr(one.verify(token))
            except CoatcheckError as error:
                return error.code
            finally:
                await one.close()

        line.say({name: asyncio.run(outcome(one)) for name, one in verifiers.items()})
        return 0

    code = wait(fork(child))
    found = {"child": line.hear(), "exit": code, "parent": [bool(one.verify(token)) for one in verifiers.values()]}
    for one in (*verifiers.values(), auth):
        run(one.close())
    return found


def outlived():
    """
    The child lives on with the connections it inherited; meanwhile the parent opens the file again, commits, and dies.

    If the child closed what it inherited it would find itself the last one there, and remove the log of the others.
    """
    return outlived_by(opened())


def outlived_by_a_verifier():
    """The same with a verifier, which has connections of its own."""
    auth = opened()
    one = Verifier(ISSUER, audience="orders", feed=URL)
    run(one.open())
    run(auth.close())
    return outlived_by(one)


def outlived_by(inherited):
    """See :func:`outlived`."""
    held = [inherited]
    del inherited
    go = Line()

    def child():
        go.hear()
        held.clear()
        gc.collect()
        return 0

    pid = fork(child)
    run(held.pop().close())
    writer = os.fork()
    if writer == 0:  # stands for the parent after its restart, and is killed
        os.execv(sys.executable, [sys.executable, __file__, "dies", str(FOLDER)])
    assert wait(writer) == -signal.SIGKILL
    go.say()
    code = wait(pid)
    tokens = json.loads((FOLDER / "tokens").read_text())
    auth = opened()
    found = {"exit": code, "live": run(live(auth, tokens))}
    run(auth.close())
    return found


def dies():
    """Sign in, say so, and be killed."""
    auth = opened()
    tokens = run(sign_in(auth, "maria"))
    (FOLDER / "tokens").write_text(json.dumps(tokens))
    os.kill(os.getpid(), signal.SIGKILL)


def own_engine():
    """The child tries to open an engine of its own, while the parent has one and after the parent has closed it."""
    auth = opened()
    tokens = run(sign_in(auth, "maria", 2))
    to_child, to_parent = Line(), Line()

    def child():
        async def attempt():
            try:
                async with Coatcheck(URL):
                    return "opened"
            except Forked:
                return "forked"

        to_parent.say(asyncio.run(attempt()))
        to_child.hear()  # the parent has closed
        to_parent.say(asyncio.run(attempt()))
        return 0

    pid = fork(child)
    found = {"while the parent has it open": to_parent.hear()}
    run(auth.close())
    to_child.say()
    found["after the parent closed it"] = to_parent.hear()
    found["exit"] = wait(pid)
    auth = opened()
    found["live"] = run(live(auth, tokens))
    run(auth.close())
    return found


def forked_first():
    """Parent and child open their engines after the fork, and end each other's sessions."""
    to_child, to_parent = Line(), Line()

    def child():
        async def story():
            tokens = to_child.hear()
            async with Coatcheck(URL) as own:
                to_parent.say([await live(own, tokens), await sign_in(own, "otto", 2)])
                to_child.hear()  # the parent has ended one of each
                mine = await live(own, tokens)
                await own.revoke_user("maria")
                to_parent.say(mine)
                to_child.hear()

        asyncio.run(story())
        return 0

    pid = fork(child)
    auth = opened()
    tokens = run(sign_in(auth, "maria", 2))
    to_child.say(tokens)
    seen, others = to_parent.hear()
    found = {"child sees": seen, "parent sees": run(live(auth, others))}
    run(auth.revoke(auth.check_now(tokens[0]).sid))
    to_child.say()
    found["child sees after the parent revoked"] = to_parent.hear()
    found["parent sees after the child revoked"] = run(live(auth, tokens))
    to_child.say()
    found["exit"] = wait(pid)
    found["others at the end"] = run(live(auth, others))
    run(auth.close())
    return found


STORIES = (refused, verifier, outlived, outlived_by_a_verifier, dies, own_engine, forked_first)
story = {function.__name__: function for function in STORIES}[STORY]
print(json.dumps(story()))
