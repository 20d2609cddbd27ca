"""
Durable sign-ins per second: 64 callers that share their syncs, beside one commit for each sign-in.

    python benchmarks/sign_in.py

Both are the same engine on the same disk in the same run; only the size of a commit group differs.
"""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time

from _measure import progress, verdict

from coatcheck import Coatcheck
from coatcheck.stores.sqlite import SQLiteStore

CALLERS = 64


async def rate(auth, *, callers, each):
    """Sign-ins per second that *callers* at once get, each making *each*."""

    async def caller(number):
        for turn in range(each):
            await auth.sign_in(f"user {number} {turn}", claims={"roles": ["member"]}, amr=("pwd",))

    started = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return callers * each / (time.perf_counter() - started)


async def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", help="where to put the databases (default: the system's temporary folder)")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    found = {"grouped": [], "one commit each": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        engines = {}
        for name, group in (("grouped", 256), ("one commit each", 1)):
            auth = Coatcheck("memory://")
            auth._store = SQLiteStore(f"{folder}/{group}.db", group=group)
            auth._memory.__init__(auth._store, auth._clock, auth.policy)
            await auth.open()
            engines[name] = auth
        for number in range(options.rounds):
            progress(number + 1, options.rounds)
            for name, auth in engines.items():
                found[name].append(await rate(auth, callers=CALLERS, each=40 if name == "grouped" else 8))
        for auth in engines.values():
            await auth.close()
    print(f"\nDurable sign-ins per second, {CALLERS} callers")
    for name, rates in found.items():
        print(f"  {name:<20}{statistics.median(rates):>9.0f}   from {min(rates):.0f} to {max(rates):.0f}")
    ratios = [many / one for many, one in zip(found["grouped"], found["one commit each"], strict=True)]
    verdict("grouped beside one commit each, median of the pairs", statistics.median(ratios), 8, at_most=False)


if __name__ == "__main__":
    asyncio.run(main())
