"""
What a fleet costs: revocations that wait for every node, checks, memory, and all of it as it grows. On SQLite,
PostgreSQL, Valkey, and a Valkey Cluster of three primaries with a replica each, in one table.

    python benchmarks/fleet.py                    # about half an hour
    python benchmarks/fleet.py --quick            # about ten minutes, with 20,000 sessions in place of 1,000,000
    python benchmarks/fleet.py --store postgres   # one store: sqlite, postgres, valkey, valkey-cluster; can be repeated
    python benchmarks/fleet.py --only barrier     # one part: barrier, warm, cold, rate, memory, nodes, growth
    python benchmarks/fleet.py --json FILE --plot FOLDER

It starts servers of its own (that lose nothing they acknowledged, on loopback) and removes them again. Every figure
stands beside what it is compared with, measured turn by turn in the same run; where the aim is a ratio, it is that of
each turn by itself, and the median of them. ``_places.py`` says what a *round trip*, a *bare commit* and a *bare read*
are.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
from pathlib import Path

from _checks import Checks
from _places import PLACES, Postgres
from _plot import lines
from _waits import Waits

PARTS = ("barrier", "warm", "cold", "rate", "memory", "nodes", "growth")
TABLE = {  # figure -> what it is, and how it is written
    "warm_ratio": ("a warm check, beside the memory store", "{:.2f} times"),
    "cold_us": ("a cold check", "{:.0f} µs"),
    "cold_ratio": ("a cold check, beside the driver's bare read", "{:.2f} times"),
    "barrier_1_ms": ("a revocation, 1 node", "{:.2f} ms"),
    "barrier_8_ms": ("a revocation, 8 nodes in 8 processes", "{:.2f} ms"),
    "barrier_32_ms": ("a revocation, 32 nodes in 8 processes", "{:.2f} ms"),
    "barrier_8_commits_median": ("8 nodes, in bare commits", "{:.1f}"),
    "barrier_32_commits_median": ("32 nodes, in bare commits", "{:.1f}"),
    "commit_8_ms": ("a bare commit", "{:.2f} ms"),
    "rate_1_64": ("revocations per second, 64 callers, 1 node", "{:,.0f}"),
    "rate_4_64": ("revocations per second, 64 callers, 4 nodes", "{:,.0f}"),
    "bytes_session": ("memory of a cached session, in a node", "{:.0f} bytes"),
    "bytes_stored": ("a session in the store", "{:.0f} bytes"),
    "beat_ms": ("a heartbeat", "{:.2f} ms"),
    "beat_cpu_ms_server": ("of it processor time of the store", "{:.2f} ms"),
    "list_1000_ms": ("a list of 1,000 nodes", "{:.1f} ms"),
    "growth_warm": ("many sessions beside 1,000: a warm check", "{:.2f} times"),
    "growth_cold": ("… a cold check", "{:.2f} times"),
    "growth_revoke": ("… a revocation", "{:.2f} times"),
}


class Bench(Checks, Waits):
    """
    One run on one store.

    Attributes:
        found: What was measured, for ``--json``. plots: what to draw, for ``--plot``.
    """

    def __init__(self, place, *, quick):
        self.place = place
        self.quick = quick
        self.found = {}
        self.plots = {}

    def note(self, **values):
        """Keep figures."""
        self.found |= values


def table(found):
    """Print all stores side by side."""
    titles = [PLACES[name].title for name in found]
    print(f"\n| figure | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}")
    for figure, (what, form) in TABLE.items():
        if any(figure in each for each in found.values()):
            cells = [form.format(each[figure]) if figure in each else "" for each in found.values()]
            print(f"| {what} | {' | '.join(cells)} |")


def measured(place, parts, *, quick, plots):
    """Measure on one store; return the figures."""
    print(f"\n=== {place.title}")
    bench = Bench(place, quick=quick)
    bench.note(load_before=os.getloadavg()[0])
    for part in parts:
        asyncio.run(getattr(bench, part)())
    bench.note(load_after=os.getloadavg()[0])
    print(f"\nload {bench.found['load_before']:.1f} before, {bench.found['load_after']:.1f} after")
    for name, plot in bench.plots.items():
        if plots:
            plots.mkdir(parents=True, exist_ok=True)
            lines(plots / f"fleet-{name}-{place.name}.svg", **plot)
    return bench.found


def main():
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns, 20,000 sessions at most")
    parser.add_argument("--store", choices=PLACES, action="append", help="one of them only; can be repeated")
    parser.add_argument("--only", choices=PARTS, action="append", help="one part only; can be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--plot", type=Path, metavar="FOLDER", help="write fleet-barrier-STORE.svg and …-growth-… there"
    )
    parser.add_argument("--fsync", choices=["on", "off"], default="on", help="off: PostgreSQL without the disk")
    parser.add_argument("--folder", help="where to put the stores (default: the system's temporary folder)")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    found = {}
    for name in options.store or PLACES:
        how = {"fsync": options.fsync} if PLACES[name] is Postgres else {}
        with contextlib.closing(PLACES[name](options.folder, **how)) as place:
            found[name] = measured(place, options.only or PARTS, quick=options.quick, plots=options.plot)
    table(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
