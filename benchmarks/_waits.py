"""What a fleet waits for: revocations, how many there can be, heartbeats. See ``fleet.py``."""

import asyncio
import contextlib
import itertools
import os
import statistics
import time

import psutil
from _fleet import engine, others, sid, timed, used_s
from _measure import progress, ratio, verdict

from coatcheck.fleet.barrier import Barrier, _Waiter
from coatcheck.stores import from_url
from coatcheck.stores.base import ERA_BITS


class Waits:
    """The parts *barrier*, *rate* and *nodes*."""

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
            print(f"        processor time of one: {in_nodes:.1f} ms in the nodes, {in_server:.1f} ms in the store")
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
            if nodes == 8 and self.place.name != "sqlite":  # there nobody is waited for
                verdict("8 processes, round trips, median", median, 15)
        self.plots["barrier"] = {
            "title": f"A revocation that waits for every node, {self.place.title}, {os.cpu_count()} cores",
            "across": "nodes (32: in 8 processes)",
            "up": "round trips of the store",
            "places": [str(nodes) for nodes in shapes],
            "series": series,
            "aim": 15,
        }

    async def _barrier_at(self, nodes, processes, engines, *, turns):
        url = self.place.url()
        await self.place.fill(url, turns + 120)
        bare = await self.place.bare(url)
        times = {"trip": [], "commit": [], "revoke": []}
        async with contextlib.AsyncExitStack() as stack:
            auth, *_ = [await stack.enter_async_context(engine(url)) for _ in range(engines)]
            nodes = [os.getpid(), *stack.enter_context(others(url, processes=processes, engines=engines))]
            for number in range(turns + 20):
                progress(number + 1, turns + 20)
                found = {
                    "trip": statistics.median([await timed(bare.trip()) for _ in range(5)]),
                    "commit": await timed(bare.commit()),
                    "revoke": await timed(auth.revoke(sid(number))),
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
        before, began = self._cpu_s(nodes), time.perf_counter()
        for number in range(first, first + 100):
            await auth.revoke(sid(number))
            await asyncio.sleep(0.005)
        after, took_s = self._cpu_s(nodes), time.perf_counter() - began
        await asyncio.sleep(took_s)
        idle = self._cpu_s(nodes)
        return [(b - a - (c - b)) * 1e3 / 100 for a, b, c in zip(before, after, idle, strict=True)]

    def _cpu_s(self, nodes):
        return used_s(psutil.Process(pid) for pid in nodes), used_s(self.place.processes())

    async def rate(self):
        """Revocations per second."""
        for nodes in (1, 4):
            url = self.place.url()
            turns = 5 if self.quick else 15
            await self.place.fill(url, turns * 2_000)
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

    async def nodes(self):
        """A heartbeat, and the list that every barrier reads, of ever more nodes."""
        url = self.place.url()
        await self.place.fill(url, 1)
        store = from_url(url)
        await store.open()
        try:
            await store.join("f" * 32, label="benchmark 4711")
            count = 200 if self.quick else 1000
            before, started = used_s(self.place.processes()), time.perf_counter()
            for beat in range(1, count + 1):
                await store.beat("f" * 32, beat=beat, applied=0, epoch=1)
            each = (time.perf_counter() - started) / count * 1e3
            cpu = (used_s(self.place.processes()) - before) / count * 1e3
            print(f"\nA heartbeat: {each:.2f} ms, of it {cpu:.2f} ms of the store's processor")
            self.note(beat_ms=each, beat_cpu_ms_server=cpu)
            there = 1
            for size in (100, 1_000) if self.quick else (100, 1_000, 10_000):
                while there < size:
                    some = range(there, min(size, there + 100))
                    await asyncio.gather(
                        *(store.join(f"{number:032d}", label=f"host-{number:05d} 4711") for number in some)
                    )
                    there += len(some)
                found = await self._list(store)
                cpu = found["cpu_ms_server"]
                print(f"  a list of {size:>6,} nodes: {found['ms']:.2f} ms, of it {cpu:.2f} of the store's processor")
                print(f"    who reads it: {found['cpu_ms']:.2f} ms, and {found['judged_ms']:.2f} to see who is behind")
                self.note(**{f"list_{size}_{name}": value for name, value in found.items()})
        finally:
            await store.close()

    async def _list(self, store):
        """Milliseconds of one look at the nodes of *store*, nobody of whom has applied what is waited for."""
        before, own = used_s(self.place.processes()), time.process_time()
        times = [await timed(store.nodes()) * 1e3 for _ in range(20)]
        own, cpu = time.process_time() - own, used_s(self.place.processes()) - before
        barrier, nodes = Barrier(store, lambda: None), await store.nodes()
        waiter = _Waiter(2**40, nodes.epoch >> ERA_BITS, barrier._elapsed(), asyncio.Future(), of_data=False)
        started = time.perf_counter()
        for _ in range(10):
            barrier._judge(waiter, nodes)
            await barrier._drop_dead(nodes)
        judged = (time.perf_counter() - started) / 10
        found = {"ms": statistics.median(times), "judged_ms": judged * 1e3}
        return found | {"cpu_ms": own / 20 * 1e3, "cpu_ms_server": cpu / 20 * 1e3}


async def _rate(auth, numbers, *, callers, each):
    async def caller():
        for _ in range(each):
            await auth.revoke(sid(next(numbers)))

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return callers * each / (time.perf_counter() - started)
