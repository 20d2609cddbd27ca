"""
Coatcheck and the others, doing the same work on this machine.

    python benchmarks/side_by_side.py                              # about forty minutes
    python benchmarks/side_by_side.py --quick                      # about five
    python benchmarks/side_by_side.py --only starsessions coatcheck-cookie-valkey
    python benchmarks/side_by_side.py --list                       # who there is
    python benchmarks/side_by_side.py --page                       # write docs/benchmarks.md anew from what was found

What is found goes to ``benchmarks/results/*.json`` and to ``docs/benchmarks.md``, and a table to the terminal.
``benchmarks/README.md`` says how to read it, and what it does not show.
"""

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import _asked
import _growth
import _inside
import _machine
import _page
from _served import stores

from benchmarks._contestants import ALL, COMPARED

RESULTS = HERE / "results"
GROWTH, INSIDE = "growth", "inside"
FULL = {
    "throughput": {"rounds": 5, "seconds": 2}, "plain": {"rounds": 4, "seconds": 1},
    "sign_ins": {"rounds": 2, "seconds": 2}, "on_the_wire": {},
    "store_calls": {}, "revocation": {"times": 3}, "refresh": {"users": 20},
    "memory": {"count": 100_000, "seconds": 40},
}  # fmt: skip
QUICK = {
    "throughput": {"rounds": 2, "seconds": 1}, "plain": {"rounds": 1, "seconds": 1},
    "sign_ins": {"rounds": 1, "seconds": 1}, "on_the_wire": {},
    "store_calls": {}, "revocation": {"times": 1}, "refresh": {"users": 3}, "memory": {"count": 500, "seconds": 5},
}  # fmt: skip
# Seconds, roughly; only for the time that is left.
_COSTS = {"on_the_wire": 3, "store_calls": 4, "revocation": 6, "refresh": 4, "memory": 25}


class Progress:
    """Says on a terminal how far we are, and how long it may take."""

    def __init__(self, parts):
        self._left = dict(parts)
        self._whole = sum(self._left.values())
        self._began = time.monotonic()
        self._is_shown = sys.stderr.isatty()

    def at(self, part, *, name):
        """Begin a part."""
        self._part, self._name, self._ticks = part, name, 0
        self._say()

    def tick(self):
        """A little of it is done."""
        self._ticks += 1
        self._say()

    def done(self):
        """All of it is."""
        self._left.pop(self._part, None)

    def _say(self):
        if not self._is_shown:
            return
        left, spent = sum(self._left.values()), time.monotonic() - self._began
        done = 1 - left / self._whole
        # At first what was foreseen, then what this machine makes of it.
        rest = left * (spent / (self._whole - left) if done > 0.05 else 1)
        text = f"{done:4.0%}, about {rest / 60:.0f} min left: {self._name} {'.' * self._ticks}"
        print(f"\r\033[K{text[:110]}", end="", file=sys.stderr, flush=True)

    def end(self):
        """Leave the line empty."""
        if self._is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def cost(how, question):
    """About how many seconds a question takes."""
    if "rounds" in how:
        return (how["rounds"] * how["seconds"] + 2) * 2 + 3
    return _COSTS[question] if how.get("count", 1e5) > 1000 else 3


def missing(contestant):
    """Say what a contestant needs that is not here; None where it can run."""
    if contestant.module.endswith(".mjs"):
        if not shutil.which("node"):
            return "Node is not on this machine"
        if contestant.variant != "bare" and not (HERE / "peers" / "node_modules").exists():
            return "its packages are not installed: make bench does it where npm is"
    return None


def measure(chosen, plan, to, *, is_quick, others):
    """Ask everybody everything; write what was found after each."""
    to.mkdir(parents=True, exist_ok=True)
    parts = {(one.name, question): cost(how, question) for one in chosen for question, how in plan.items()}
    parts |= dict.fromkeys(others, 60 if is_quick else 300)
    progress, failed = Progress(parts), []
    with stores() as where:
        machine = _machine.describe(where)
        for one in chosen:
            if lack := missing(one):
                progress.end()
                print(f"{one.name}: left out, {lack}", file=sys.stderr)
                continue
            found = {"name": one.name, "title": one.title, "quick": is_quick, "machine": machine}
            found["versions"] = _machine.versions(one)
            for question, how in plan.items():
                progress.at((one.name, question), name=f"{one.name}, {question.replace('_', ' ')}")
                try:
                    found |= getattr(_asked, question)(one, where, tick=progress.tick, **how)
                except Exception as error:  # one that fails does not cost the others their hour
                    failed.append(f"{one.name}, {question}: {error!r}"[:500])
                progress.done()
            write(to, one.name, found)
        for name in others:
            progress.at(name, name=name)
            ask = {GROWTH: _growth, INSIDE: _inside}[name].measure
            try:
                found = ask(where, is_quick=is_quick, tick=progress.tick)
                write(to, name, {"machine": machine, "quick": is_quick, **found})
            except Exception as error:
                failed.append(f"{name}: {error!r}"[:500])
            progress.done()
    progress.end()
    for text in failed:
        print(f"failed: {text}", file=sys.stderr)
    return not failed


def write(to, name, found):
    """Keep what was found, and what was found before of what was not asked now."""
    path = to / f"{name}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if before.get("quick") == found["quick"]:
        found = {**before, **found}
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main():
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about five minutes; for a look, not for a page")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contestants, or growth, and nobody else")
    parser.add_argument("--ask", nargs="+", choices=list(FULL), help="these questions, and no other")
    parser.add_argument("--list", action="store_true", help="say who there is")
    parser.add_argument("--page", action="store_true", help="write docs/benchmarks.md from the results that are there")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="where the results go (quick ones: results/quick)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    if options.list:
        for one in COMPARED:
            print(f"{one.name:<32}{one.title}")
        print(f"{GROWTH:<32}Coatcheck with more workers, sessions, revocations and devices")
        print(f"{INSIDE:<32}Coatcheck's import, command, memory, and checks by themselves")
        return 0
    to = options.to or (RESULTS / "quick" if options.quick else RESULTS)
    names = options.only or [*(one.name for one in COMPARED), GROWTH, INSIDE]
    known = {one.name for one in COMPARED} | {GROWTH, INSIDE}
    if unknown := sorted(set(names) - known):
        parser.error(f"--only: there is no {unknown[0]}; --list says who there is")
    is_fine = True
    if not options.page:
        plan = QUICK if options.quick else FULL
        if options.ask:
            plan = {name: how for name, how in plan.items() if name in options.ask}
        if not shutil.which("wrk") and plan.keys() & {"throughput", "plain", "sign_ins"}:
            parser.error("wrk is not on this machine; it asks the questions: apt install wrk, or brew install wrk")
        others = [name for name in (INSIDE, GROWTH) if name in names]
        chosen = [ALL[name] for name in names if name not in others]
        is_fine = measure(chosen, plan, to, is_quick=options.quick, others=others)
    results = _page.read(to)
    if options.json:
        print(json.dumps({name: found for name, found in results.items() if name in names}, indent=1))
    else:
        print(_page.table(results, names))
    if to == RESULTS:  # the page never says anything else than they do
        _page.write(HERE.parent / "docs", results)
        print("written: docs/benchmarks.md")
    return 0 if is_fine else 1


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nstopped; what was found is in benchmarks/results", file=sys.stderr)
        sys.exit(130)
