"""
Durable sign-ins per second: 64 callers that share their syncs, beside one commit for each sign-in.

    python benchmarks/sign_in.py

The same engine on the same disk in the same run, turn by turn. "One commit each" twice: one caller who waits for each
sign-in before the next, and 64 callers whose groups are held to a size of 1.
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
    found = {"64 callers": [], "one caller, one commit each": [], "64 callers, one commit each": []}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        engines = {}
        for name, group in (("64 callers", 256), ("64 callers, one commit each", 1)):
            auth = Coatcheck("memory://")
            auth._store = SQLiteStore(f"{folder}/{group}.db", group=group)
            auth._memory.__init__(auth._store, auth.clock, auth.policy)
            await auth.open()
            engines[name] = auth
        for number in range(options.rounds):
            progress(number + 1, options.rounds)
            for name, auth in engines.items():
                found[name].append(await rate(auth, callers=CALLERS, each=40 if name == "64 callers" else 8))
            alone = await rate(engines["64 callers"], callers=1, each=400)
            found["one caller, one commit each"].append(alone)
        for auth in engines.values():
            await auth.close()
    print("\nDurable sign-ins per second")
    for name, rates in found.items():
        print(f"  {name:<30}{statistics.median(rates):>9.0f}   from {min(rates):.0f} to {max(rates):.0f}")
    many = found.pop("64 callers")
    for name, rates in found.items():
        ratios = [together / each for together, each in zip(many, rates, strict=True)]
        verdict(f"64 callers beside {name}, median of the rounds", statistics.median(ratios), 8, at_most=False)


if __name__ == "__main__":
    asyncio.run(main())
