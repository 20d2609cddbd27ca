"""
What a fleet on PostgreSQL costs: revocations that wait for every node, checks, memory, and all of it as it grows.

    python benchmarks/fleet.py                  # about six minutes
    python benchmarks/fleet.py --quick          # about two, with 100,000 sessions in place of 1,000,000
    python benchmarks/fleet.py --only barrier   # one part: barrier, warm, cold, rate, memory, growth
    python benchmarks/fleet.py --json FILE --plot FOLDER

It starts a PostgreSQL 18 of its own (fsync on, TCP on loopback) and removes it again. Every figure stands beside what
it is compared with, measured turn by turn in the same run; where the aim is a ratio, it is that of each turn by itself,
and the median of them. A *round trip* is a `SELECT 1` on a warm connection of asyncpg; a *bare commit* an UPDATE of one
row, durable.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import platform
import random
import statistics
import time
import tracemalloc
from pathlib import Path

from _fleet import connect, cpu_s, engine, fill, others, schema_of, sid, start_postgres, token
from _measure import progress, ratio, show, verdict
from _plot import lines

from coatcheck import Session
from coatcheck.fleet.revoked import Revoked
from coatcheck.records import ENDED, Change, Kind
from coatcheck.stores._postgres_parts import live
from coatcheck.stores._rows import RECORD

PARTS = ("barrier", "warm", "cold", "rate", "memory", "growth")


class Bench:
    """
    One run.

    Attributes:
        found: What was measured, for ``--json``. plots: what to draw, for ``--plot``.
    """

    def __init__(self, server, *, quick):
        self.server = server
        self.quick = quick
        self.found = {}
        self.plots = {}

    def note(self, **values):
        """Keep figures."""
        self.found |= values

    # --- the barrier ---

    async def barrier(self):
        """A revocation, with ever more nodes."""
        shapes = {1: (0, 1), 4: (3, 1), 8: (7, 1), 32: (7, 4)}  # nodes: other processes, engines in each and here
        print("\nA revocation, from the call until every node has applied it (ms; in round trips of the same turn)")
        series = {"median": [], "95th percentile": [], "bare commit": []}
        for nodes, (processes, engines) in shapes.items():
            times = await self._barrier_at(nodes, processes, engines, turns=100 if self.quick else 300)
            trips = [revoke / trip for revoke, trip in zip(times["revoke"], times["trip"], strict=True)]
            commits = [revoke / commit for revoke, commit in zip(times["revoke"], times["commit"], strict=True)]
            median, late = statistics.median(trips), statistics.quantiles(trips, n=20)[-1]
            bare = ratio(times, "commit", "trip")
            series["median"].append(median)
            series["95th percentile"].append(late)
            series["bare commit"].append(bare)
            print(
                f"  {nodes:>2} nodes in {processes + 1} processes: {statistics.median(times['revoke']):6.2f} ms = "
                f"{median:5.1f} round trips, 95th percentile {late:5.1f}; {statistics.median(commits):4.1f} bare "
                f"commits; a round trip {statistics.median(times['trip']):.3f} ms, a bare commit {bare:.1f} round trips"
            )
            in_nodes, in_server = times["cpu"]
            print(f"        processor time of one: {in_nodes:.1f} ms in the nodes, {in_server:.1f} ms in PostgreSQL")
            self.note(
                **{
                    f"barrier_{nodes}_cpu_ms_nodes": in_nodes,
                    f"barrier_{nodes}_cpu_ms_server": in_server,
                    f"barrier_{nodes}_ms": statistics.median(times["revoke"]),
                    f"barrier_{nodes}_trips_median": median,
                    f"barrier_{nodes}_trips_p95": late,
                    f"barrier_{nodes}_commits_median": statistics.median(commits),
                    f"trip_{nodes}_ms": statistics.median(times["trip"]),
                    f"commit_{nodes}_ms": statistics.median(times["commit"]),
                }
            )
            if nodes == 8:
                verdict("8 processes, round trips, median", median, 15)
        self.plots["barrier"] = {
            "title": "A revocation that waits for every node, PostgreSQL, 2 cores",
            "across": "nodes (32: in 8 processes)",
            "up": "round trips of the store",
            "places": [str(nodes) for nodes in shapes],
            "series": series,
            "aim": 15,
        }

    async def _barrier_at(self, nodes, processes, engines, *, turns):
        url = self.server.url()
        await fill(url, turns + 120)
        bare = await connect(url)
        await bare.execute("CREATE TABLE IF NOT EXISTS one_row (n bigint)")
        await bare.execute("TRUNCATE one_row")
        await bare.execute("INSERT INTO one_row VALUES (0)")
        times = {"trip": [], "commit": [], "revoke": []}
        async with contextlib.AsyncExitStack() as stack:
            auth, *_ = [await stack.enter_async_context(engine(url)) for _ in range(engines)]
            nodes = [os.getpid(), *stack.enter_context(others(url, processes=processes, engines=engines))]
            for number in range(turns + 20):
                progress(number + 1, turns + 20)
                found = {
                    "trip": statistics.median([await _timed(bare.fetchval("SELECT 1")) for _ in range(5)]),
                    "commit": await _timed(bare.execute("UPDATE one_row SET n = n + 1")),
                    "revoke": await _timed(auth.revoke(sid(number))),
                }
                if number >= 20:
                    for name, value in found.items():
                        times[name].append(value * 1e3)
                await asyncio.sleep(0.01)  # what is left over of one does not burden the next
            times["cpu"] = await self._cpu_of(auth, nodes, first=turns + 20)
        await bare.close()
        return times

    async def _cpu_of(self, auth, nodes, *, first):
        """Milliseconds of processor time that one revocation takes of the nodes and of the server, heartbeats off."""
        before, began = cpu_s(self.server, nodes), time.perf_counter()
        for number in range(first, first + 100):
            await auth.revoke(sid(number))
            await asyncio.sleep(0.005)
        after, took_s = cpu_s(self.server, nodes), time.perf_counter() - began
        await asyncio.sleep(took_s)
        idle = cpu_s(self.server, nodes)
        return [(b - a - (c - b)) * 1e3 / 100 for a, b, c in zip(before, after, idle, strict=True)]

    # --- checks ---

    async def warm(self):
        """A check from memory, beside one of the memory store."""
        url = self.server.url()
        await fill(url, 100)
        async with engine(url) as ours, engine("memory://") as plain:
            theirs = (await plain.sign_in("maria", claims={"roles": ["member"]}, amr=("pwd",))).token.reveal()
            assert isinstance(await ours.check(token(7)), Session)
            actions = {
                "check_now, memory store": lambda: plain.check_now(theirs),
                "check_now, PostgreSQL": lambda: ours.check_now(token7),
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
        found = ratio(times, "check_now, PostgreSQL", "check_now, memory store")
        verdict("PostgreSQL beside the memory store, median of the rounds", found, 1.5)
        self.note(warm_ratio=found, warm_us=min(times["check_now, PostgreSQL"]))

    async def cold(self):
        """A check that asks the store, beside the driver's bare read."""
        url, schema = self.server.url(), None
        await fill(url, 10_000)
        schema = schema_of(url)
        bare = await connect(url)
        plain = await bare.prepare(f"SELECT {RECORD} FROM {schema}.sessions WHERE digest = $1")
        nulls = ", ".join(["NULL"] * 16)
        ours = await bare.prepare(
            f"SELECT {RECORD}, {live(schema)}, NULL FROM {schema}.sessions WHERE digest = $1 "
            f"UNION ALL SELECT {nulls}, reason FROM {schema}.ended WHERE digest = $1 LIMIT 1"
        )
        async with engine(url) as auth:
            from coatcheck.tokens.session_token import digest

            names = ("bare read, asyncpg, prepared", "our statement, asyncpg, prepared", "store.load", "a cold check")
            times = {name: [] for name in names}
            rounds = 60 if self.quick else 200
            for number in range(rounds):
                progress(number + 1, rounds)
                chosen = [token(random.randrange(10_000)) for _ in range(20)]
                digests = [digest(each) for each in chosen]
                auth._memory._cache.drop()
                actions = {
                    names[0]: lambda digests=digests: [plain.fetchrow(each) for each in digests],
                    names[1]: lambda digests=digests: [ours.fetch(each) for each in digests],
                    names[2]: lambda digests=digests: [auth._store.load(each) for each in digests],
                    names[3]: lambda chosen=chosen: [auth.check(each) for each in chosen],
                }
                for name, action in list(actions.items())[:: -1 if number % 2 else 1]:
                    started = time.perf_counter()
                    for each in action():
                        assert await each
                    times[name].append((time.perf_counter() - started) / 20 * 1e6)
        await bare.close()
        show("A cold check", times)
        found = ratio(times, names[3], names[0])
        for name in names[1:]:
            print(f"        {name} / bare read: {ratio(times, name, names[0]):.2f}")
        verdict("a cold check beside the driver's bare read, median of the rounds", found, 2)
        self.note(cold_ratio=found, cold_us=statistics.median(times[names[3]]))

    # --- how many ---

    async def rate(self):
        """Revocations per second."""
        for nodes in (1, 4):
            url = self.server.url()
            turns = 5 if self.quick else 15
            await fill(url, turns * 2_000)
            numbers = itertools.count()
            many, one = [], []
            async with engine(url) as auth:
                with others(url, processes=nodes - 1):
                    for number in range(turns):
                        progress(number + 1, turns)
                        many.append(await _rate(auth, numbers, callers=64, each=16))
                        one.append(await _rate(auth, numbers, callers=1, each=100))
            print(f"\nRevocations per second, {nodes} node{'s' * (nodes > 1)}")
            for name, rates in (("64 callers", many), ("one caller", one)):
                print(f"  {name:<30}{statistics.median(rates):>9.0f}   from {min(rates):.0f} to {max(rates):.0f}")
            found = statistics.median(a / b for a, b in zip(many, one, strict=True))
            print(f"        64 callers beside one, median of the turns: {found:.1f}")
            self.note(
                **{
                    f"rate_{nodes}_64": statistics.median(many),
                    f"rate_{nodes}_1": statistics.median(one),
                    f"rate_{nodes}_ratio": found,
                }
            )

    async def memory(self):
        """Bytes of what a node holds."""
        url, count = self.server.url(), 20_000
        await fill(url, count + 1)
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
        self.note(bytes_session=session, bytes_revoked=ended)

    # --- growth ---

    async def growth(self):
        """Warm checks, cold checks and revocations of some among ever more."""
        sizes = [1_000, 10_000, 100_000] if self.quick else [1_000, 10_000, 100_000, 1_000_000]
        turns, sample = 40 if self.quick else 100, 100
        times = {part: {f"{size:,}": [] for size in sizes} for part in ("warm", "cold", "revoke")}
        async with contextlib.AsyncExitStack() as stack:
            engines = {}
            for size in sizes:
                url = self.server.url()
                await fill(url, size)
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
                        times["revoke"][name].append(await _timed(auth.revoke(ends.pop())) * 1e6)
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
            "title": "What it costs with so many sessions, beside 1,000 of them, PostgreSQL",
            "across": "sessions in the store",
            "up": "times",
            "places": list(engines),
            "series": series,
            "aim": 1.3,
        }


async def _timed(work):
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


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


async def _rate(auth, numbers, *, callers, each):
    async def caller():
        for _ in range(each):
            await auth.revoke(sid(next(numbers)))

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return callers * each / (time.perf_counter() - started)


def main():
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, 100,000 sessions at most")
    parser.add_argument("--only", choices=PARTS, help="one part only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--plot", type=Path, metavar="FOLDER", help="write fleet-barrier.svg and fleet-growth.svg there"
    )
    parser.add_argument("--fsync", choices=["on", "off"], default="on", help="off: what is left without the disk")
    parser.add_argument("--folder", help="where to put the database (default: the system's temporary folder)")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, load {load:.1f}")
    print(f"PostgreSQL 18, fsync {options.fsync}")
    server = start_postgres(options.folder, fsync=options.fsync)
    try:
        bench = Bench(server, quick=options.quick)
        bench.note(load_before=load)
        for part in PARTS:
            if options.only in (None, part):
                asyncio.run(getattr(bench, part)())
    finally:
        server.close()
    bench.note(load_after=os.getloadavg()[0])
    print(f"\nload {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    if options.json:
        options.json.write_text(json.dumps(bench.found, indent=2) + "\n", encoding="utf-8")
    for name, plot in bench.plots.items():
        if options.plot:
            options.plot.mkdir(parents=True, exist_ok=True)
            lines(options.plot / f"fleet-{name}.svg", **plot)


if __name__ == "__main__":
    main()
