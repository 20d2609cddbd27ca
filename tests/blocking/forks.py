"""Stories of the blocking engine over forks and at a program's end: ``python forks.py STORY URL``. Prints JSON."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from coatcheck import CoatcheckError, blocking

STORY, URL = sys.argv[1:]
ISSUER = "https://auth.example.com"


def say(found):
    """Print what was found, for good."""
    print(json.dumps(found), flush=True)


def child(work):
    """Do *work* in a forked child that ends as programs do; return what it found, and its exit status."""
    ends = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            found = work()
        except CoatcheckError as error:
            found = error.code
        os.write(ends[1], json.dumps(found).encode())
        sys.exit(0)
    os.close(ends[1])
    found = b""
    while more := os.read(ends[0], 4096):
        found += more
    _, status = os.waitpid(pid, 0)
    return json.loads(found), os.waitstatus_to_exitcode(status)


def begin(auth):
    """Sign somebody in."""
    return auth.sign_in("maria")


def live(auth, signed_in):
    """Whether the session is accepted."""
    return bool(auth.check(signed_in.token))


def used():
    """In use before the fork: the child is a node of its own, and each ends the other's sessions."""
    auth = blocking.Coatcheck(URL, issuer=ISSUER)
    verifier = blocking.Verifier(ISSUER, audience="orders", feed=auth)
    mine, other = auth.sign_in("maria"), auth.sign_in("jorge")
    jwt = auth.access_token(other.session, audience="orders")

    def work():
        found = {"sees": [live(auth, mine), live(auth, other)], "token": bool(verifier.verify(jwt))}
        auth.revoke(mine.session.sid)
        return found

    seen, status = child(work)
    after = [live(auth, mine), live(auth, other), bool(verifier.verify(jwt))]
    auth.revoke(other.session.sid)
    say({"child": seen, "exit": status, "parent": after, "ended": bool(verifier.verify(jwt))})


def built():
    """Only built before the fork, as with gunicorn's preload: each of three children is a node of its own."""
    auth = blocking.Coatcheck(URL)

    def work():
        return begin(auth).token.reveal()

    tokens = [child(work) for _ in range(3)]
    say([[bool(auth.check(token)), status] for token, status in tokens])


def busy():
    """A fork while other threads are in the middle of calls: nothing is lost, and the child works."""
    auth = blocking.Coatcheck(URL)
    stop, done, faults = threading.Event(), [], []

    def keep_signing_in():
        while not stop.is_set():
            try:
                done.append(auth.sign_in("maria"))
            except Exception as error:
                faults.append(repr(error))

    threads = [threading.Thread(target=keep_signing_in) for _ in range(4)]
    for thread in threads:
        thread.start()
    statuses = []
    for _ in range(5):
        before = len(done)
        statuses.append(child(lambda: bool(auth.check(auth.sign_in("jorge").token))))
        while len(done) == before:  # it goes on here
            time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join()
    say({"statuses": statuses, "faults": faults, "lost": [live(auth, one) for one in done[-9:]].count(False)})


def nodes():
    """On a store behind a network: who is there before the fork, in the child, and afterwards."""
    auth = blocking.Coatcheck(URL)
    mine = auth.sign_in("maria")
    before = [row.id for row in auth.fleet().rows]
    seen, status = child(lambda: [live(auth, mine), [row.id for row in auth.fleet().rows]])
    live(auth, mine)
    say({"before": before, "child": seen, "exit": status, "after": [row.id for row in auth.fleet().rows]})


def memory():
    """On memory:// a child can know nothing, and says so; the parent keeps what it has."""
    auth = blocking.Coatcheck("memory://")
    mine = auth.sign_in("maria")
    seen, status = child(lambda: live(auth, mine))
    say({"child": seen, "exit": status, "parent": live(auth, mine)})


def tell_of_closing(auth):
    """Print when the engine was closed, down to its store."""
    engine = auth._kept.now
    close = engine.close

    async def close_and_tell():
        await close()
        say("closed")

    engine.close = close_and_tell


def left_open():
    """The program ends, and nobody has closed anything."""
    auth = blocking.Coatcheck(URL)
    say(begin(auth).token.reveal())
    tell_of_closing(auth)


def left_open_in_a_thread():
    """The same, with a thread that still calls."""
    auth = blocking.Coatcheck(URL)
    token = begin(auth).token

    def keep_reading():
        while True:
            try:
                auth.data(auth.check(token).sid)
            except CoatcheckError:
                return

    threading.Thread(target=keep_reading, daemon=True).start()
    say(token.reveal())
    tell_of_closing(auth)


globals()[STORY]()
