"""What is asked of a fleet all day: checks, and what they hold in memory. See ``fleet.py``."""

import asyncio
import contextlib
import random
import statistics
import time
import tracemalloc

from _fleet import digest_of, engine, sid, timed, token
from _measure import progress, ratio, show, verdict

from coatcheck import Session
from coatcheck.fleet.revoked import Revoked
from coatcheck.records import ENDED, Change, Kind


class Checks:
    """The parts *warm*, *cold*, *memory* and *growth*."""

    async def warm(self):
        """A check from memory, beside one of the memory store."""
        url = self.place.url()
        await self.place.fill(url, 100)
        ours_name = f"check_now, {self.place.title}"
        async with engine(url) as ours, engine("memory://") as plain:
            theirs = (await plain.sign_in("maria", claims={"roles": ["member"]}, amr=("pwd",))).token.reveal()
            assert isinstance(await ours.check(token(7)), Session)
            actions = {
                "check_now, memory store": lambda: plain.check_now(theirs),
                ours_name: lambda: ours.check_now(token7),
            }
            token7 = token(7)
            times = {name: [] for name in actions}
            count = 200 if self.quick else 1000
            for number in range(count):
                progress(number + 1, count)
                await asyncio.sleep(0.002)  # heartbeats go on
                for name, action in list(actions.items())[:: -1 if number % 2 else 1]:
                    assert isinstance(action(), Session)
                    times[name].append(_repeated(action, 1000))
        show("A warm check", times)
        found = ratio(times, ours_name, "check_now, memory store")
        verdict(f"{self.place.title} beside the memory store, median of the rounds", found, 1.5)
        self.note(warm_ratio=found, warm_us=min(times[ours_name]))

    async def cold(self):
        """A check that asks the store, beside the driver's bare read."""
        url = self.place.url()
        await self.place.fill(url, 10_000)
        bare = await self.place.bare(url)
        async with engine(url) as auth:
            names = ("bare read", "store.load", "a cold check")
            times = {name: [] for name in names}
            rounds = 60 if self.quick else 200
            for number in range(rounds):
                progress(number + 1, rounds)
                chosen = [random.randrange(10_000) for _ in range(20)]
                auth._memory._cache.drop()
                actions = {
                    names[0]: lambda chosen=chosen: [bare.read(each) for each in chosen],
                    names[1]: lambda chosen=chosen: [auth._store.load(digest_of(each)) for each in chosen],
                    names[2]: lambda chosen=chosen: [auth.check(token(each)) for each in chosen],
                }
                for name, action in list(actions.items())[:: -1 if number % 2 else 1]:
                    started = time.perf_counter()
                    for each in action():
                        assert await each
                    times[name].append((time.perf_counter() - started) / 20 * 1e6)
        await bare.close()
        show("A cold check", times)
        found = ratio(times, names[2], names[0])
        for name in names[1:]:
            print(f"        {name} / bare read: {ratio(times, name, names[0]):.2f}")
        if self.place.name != "sqlite":  # whose read is no trip to anywhere: what surrounds it is most of it
            verdict("a cold check beside the driver's bare read, median of the rounds", found, 2)
        self.note(cold_ratio=found, cold_us=statistics.median(times[names[2]]))

    async def memory(self):
        """Bytes of what a node holds, and of what the store keeps."""
        url, count = self.place.url(), 20_000
        await self.place.fill(url, 1_000)
        used = await self.place.used(url)
        url = self.place.url()
        await self.place.fill(url, 1_000 + count)
        stored = (await self.place.used(url) - used) / count
        async with engine(url) as auth:
            await auth.check(token(count))
            tracemalloc.start()
            before = tracemalloc.get_traced_memory()[0]
            for number in range(count):
                progress(number + 1, count)
                assert await auth.check(token(number))
            session = (tracemalloc.get_traced_memory()[0] - before) / count
            tracemalloc.stop()
        revoked = Revoked()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(100_000):
            line = Change(position=number, kind=Kind.REVOKED, sid=sid(number), version=ENDED, forget_after=0)
            revoked.apply([line], elapsed=float(number))
        del line
        ended = (tracemalloc.get_traced_memory()[0] - before) / 100_000
        tracemalloc.stop()
        print(f"\nMemory\n  {session:.0f} bytes per cached session, {ended:.0f} per revoked sid")
        print(f"  {stored:.0f} bytes per session in the store")
        self.note(bytes_session=session, bytes_revoked=ended, bytes_stored=stored)

    async def growth(self):
        """Warm checks, cold checks and revocations of some among ever more."""
        sizes = [1_000, 20_000] if self.quick else [1_000, 10_000, 100_000, 1_000_000]
        turns, sample = 40 if self.quick else 100, 100
        times = {part: {f"{size:,}": [] for size in sizes} for part in ("warm", "cold", "revoke")}
        async with contextlib.AsyncExitStack() as stack:
            engines = {}
            for size in sizes:
                url = self.place.url()
                await self.place.fill(url, size)
                # The first half of a thousand is looked at, spread all over; others are revoked.
                step = size // 1_000
                looked = [token(number * step) for number in range(500)]
                ends = [sid(number * step) for number in range(500, 1_000)]
                engines[f"{size:,}"] = await stack.enter_async_context(engine(url)), looked, ends
            for number in range(turns):
                progress(number + 1, turns)
                for name, (auth, looked, ends) in list(engines.items())[:: -1 if number % 2 else 1]:
                    chosen = random.sample(looked, sample)
                    auth._memory._cache.drop()
                    started = time.perf_counter()
                    for each in chosen:
                        assert await auth.check(each)
                    times["cold"][name].append((time.perf_counter() - started) / sample * 1e6)
                    found = [_once(auth, chosen) for _ in range(5)]
                    times["warm"][name].append(min(found))
                    for _ in range(2):
                        times["revoke"][name].append(await timed(auth.revoke(ends.pop())) * 1e6)
        titles = {"warm": "A warm check", "cold": "A cold check", "revoke": "A revocation (one node)"}
        first, last = f"{sizes[0]:,}", f"{sizes[-1]:,}"
        series = {}
        for part, title in titles.items():
            show(f"{title}, with so many sessions in the store", times[part])
            found = ratio(times[part], last, first)
            verdict(f"{part}, {last} beside {first} sessions, median of the turns", found, 1.3)
            self.note(**{f"growth_{part}": found})
            series[part] = [ratio(times[part], f"{size:,}", first) for size in sizes]
        self.plots["growth"] = {
            "title": f"What it costs with so many sessions, beside 1,000 of them, {self.place.title}",
            "across": "sessions in the store",
            "up": "times",
            "places": list(engines),
            "series": series,
            "aim": 1.3,
        }


def _repeated(action, repeat):
    started = time.perf_counter()
    for _ in range(repeat):
        action()
    return (time.perf_counter() - started) / repeat * 1e6


def _once(auth, tokens):
    started = time.perf_counter()
    for each in tokens:
        auth.check_now(each)
    return (time.perf_counter() - started) / len(tokens) * 1e6
