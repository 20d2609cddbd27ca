"""
The code of another commit beside the code that is here, in one run, turn by turn.

    python benchmarks/before_after.py 0469b90

Throughput of the three ways on SQLite, of the same bare application's; the import, of what it requires; memory of a
cached session. What is found goes to ``benchmarks/results/before-after.json``, and onto the page.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import _starting
from _measure import progress
from _served import Served, load, stores

from benchmarks._contestants import ALL

WAYS = ("cookie", "jwt", "hybrid")
MEMORY = "import asyncio, sys; sys.path[:0] = sys.argv[1:]; import check; asyncio.run(check.memory_use(sys.argv[3]))"


def throughput(before, rounds):
    """Return way -> of the bare application's throughput, before and after."""
    found = {}
    with stores() as where:
        for number, way in enumerate(WAYS):
            progress(number + 1, len(WAYS))
            bare, ours = ALL["starlette"], ALL[f"coatcheck-{way}-sqlite"]
            old = where.environment(ours)
            old["PYTHONPATH"] = f"{before}{os.pathsep}{HERE.parent}"
            with contextlib.ExitStack() as stack:
                served = [
                    stack.enter_context(Served(one, environment))
                    for one, environment in (
                        (bare, where.environment(bare)), (ours, old), (ours, where.environment(ours)),
                    )
                ]  # fmt: skip
                visitors = [served[0].visitor(), *(one.visitor().sign_in() for one in served[1:])]
                kept = [], []
                for turn in range(rounds):
                    order = range(3)[:: -1 if turn % 2 else 1]
                    rate = {which: load(served[which], [visitors[which]], seconds=2).rate for which in order}
                    for which in (0, 1):
                        kept[which].append(rate[which + 1] / rate[0])
            found[f"throughput kept, {way}"] = _pair(*kept)
    return found


def starting(before, rounds):
    """The import, of what it requires."""
    ratios = [], []
    for _ in range(rounds):
        for which, source in enumerate((before, HERE.parent / "src")):
            os.environ["PYTHONPATH"] = str(source)
            ratios[which].append(_starting.measure(rounds=7, tick=lambda: None)["import"]["ratio"])
    return {"`import coatcheck`, of what it requires": _pair(*ratios)}


def memory(before):
    """Bytes of a cached session, on SQLite."""
    bytes_ = [], []
    for which, source in enumerate((before, HERE.parent / "src")):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", MEMORY, str(source), str(HERE), folder]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            bytes_[which].append(float(said.split("bytes per cached session")[0].split()[-1]))
    return {"bytes of a cached session, SQLite": _pair(*bytes_)}


def _pair(before, after):
    ratio = statistics.median(new / old for new, old in zip(after, before, strict=True))
    return {"before": statistics.median(before), "after": statistics.median(after), "ratio": ratio}


def main():
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit", help="what to compare with")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (7)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Only its package: what asks the questions is the same for both.
        archive = ["git", "-C", str(HERE.parent), "archive", options.commit, "src"]
        packed = subprocess.run(archive, check=False, capture_output=True)
        if packed.returncode:
            parser.error(f"commit: there is no {options.commit} in this repository")
        subprocess.run(["tar", "-x", "-C", folder], check=True, input=packed.stdout)
        before = Path(folder, "src")
        figures = throughput(before, options.rounds) | starting(before, 3) | memory(before)
    found = {"commit": options.commit, "figures": figures}
    path = HERE / "results" / "before-after.json"
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for what, each in figures.items():
        print(f"{what:<44}{each['before']:>9.2f}{each['after']:>9.2f}{each['ratio']:>8.2f} times")


if __name__ == "__main__":
    main()
