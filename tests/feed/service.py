"""A service of its own, for tests that stop it: verifies one token all the time, and remembers when it last did."""

import asyncio
import sys
import threading
import time

from coatcheck import Verifier


def now():
    """A clock that is the same in every process of this machine."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


async def main(issuer, feed, jwt):
    """Run until stdin ends; each line there is answered with what the token is worth, and when it last was."""
    accepted = threading.Event()
    last = began = 0.0
    over = False

    async with Verifier(issuer, audience="orders", feed=feed) as verifier:

        def verify_for_ever():
            nonlocal last, began
            while not over:
                began = now()
                if verifier.verify(jwt):
                    last = began
                    accepted.set()
                time.sleep(0.0005)

        thread = threading.Thread(target=verify_for_ever, daemon=True)
        thread.start()
        await asyncio.to_thread(accepted.wait)
        print("accepted", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            found = verifier.verify(jwt)
            print("accepted" if found else found.reason, last, flush=True)
        over = True
        thread.join()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
