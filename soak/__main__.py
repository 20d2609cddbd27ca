"""The command: ``python -m soak``."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import traceback
from pathlib import Path

import msgspec

from soak import faults, report
from soak.driver import STORES, Options, Run, make_folder
from soak.history import load
from soak.places import Place
from soak.report import Report

_GOOD, _FOUND, _FAILED, _INTERRUPTED = 0, 1, 3, 130
_ABOUT = """\
Real processes on one store, real faults, and a judge that reads what every one of them did and when.

Ends with 0 when nothing was found; with 1 when there was a fault, or too little happened to tell; with 3 when the run
itself failed; with 130 on Ctrl-C.
The same seed injects the same faults at the same times."""


def _arguments() -> argparse.Namespace:
    kinds = "\n".join(f"  {kind:<12} {what}" for kind, (*_, what) in faults.KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m soak",
        description=_ABOUT,
        epilog=f"kinds of fault:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", choices=STORES, default="sqlite")
    parser.add_argument("--duration", type=float, default=20.0, metavar="S", help="seconds under load (default: 20)")
    parser.add_argument("--seed", default="", help="any text (default: a new one, which is shown)")
    parser.add_argument("--workers", type=int, default=4, help="processes with an engine; one more only verifies")
    parser.add_argument("--faults", default="", metavar="KIND,…", help="only these kinds (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object on the standard output")
    parser.add_argument("--keep", action="store_true", help="keep the history; it is always kept when there is a fault")
    parser.add_argument("--folder", default="", help="where to put it (default: the folder for temporary files)")
    options = parser.parse_args()
    unknown = [kind for kind in options.faults.split(",") if kind and kind not in faults.KINDS]
    if unknown:
        parser.error(f"no such kind of fault: {unknown[0]}; there are {', '.join(faults.KINDS)}")
    if options.duration < 5 or options.workers < 2:
        parser.error("below 5 seconds or 2 workers there is nothing to see")
    return options


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)


async def _run(options: Options, folder: Path) -> tuple[dict[str, str], Place]:
    """Do it all; return what could not be done here, and where it was done."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    run = Run(options, folder)
    _show("starting")
    async with run.everything():
        await run.go(_show)
        _show("looking once more")
        await run.look()
    return run.skipped, run.place


def main() -> int:
    """Run it."""
    given = _arguments()
    options = Options(
        store=given.store,
        duration_s=given.duration,
        seed=given.seed or secrets.token_hex(4),
        workers=given.workers,
        kinds=tuple(kind for kind in given.faults.split(",") if kind),
        folder=given.folder,
    )
    folder = make_folder(options)
    keep = True
    try:
        judged, text = _judged(options, folder)
        keep = given.keep or not judged.is_good
        _show("")
        print(msgspec.json.encode(judged).decode() if given.json else "\n".join(text))
    except asyncio.CancelledError:
        keep = given.keep
        print(f"interrupted; the history so far is in {folder}" if keep else "interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception:
        traceback.print_exc()
        print(f"the run itself failed; its logs are in {folder}", file=sys.stderr)
        return _FAILED
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return _GOOD if judged.is_good else _FOUND


def _judged(options: Options, folder: Path) -> tuple[Report, list[str]]:
    """Run it; return the outcome, and as text."""
    skipped, place = asyncio.run(_run(options, folder))
    _show("judging")
    ops = load(folder / "history")
    judged = report.judge(
        ops,
        seed=options.seed,
        store=options.store,
        duration_s=options.duration_s,
        lease_s=place.lease_s,
        new_keys=place.new_keys,
        in_steps=place.in_steps,
        skipped=skipped,
        folder=str(folder),
    )
    return judged, report.lines(judged, ops)


if __name__ == "__main__":
    sys.exit(main())
