"""
The command ``coatcheck compare``. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. It measures on a store of its own unless one is named by its option: no variable of the environment makes it write
   into somebody's.
2. No figure stands alone: beside each is what it is compared with, from the same run.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.opened import check_url, quiet
from coatcheck.cli.options import Json, examples
from coatcheck.cli.output import Output
from coatcheck.cli.users import output

EXAMPLES = examples(
    "coatcheck compare",
    "coatcheck compare --store postgresql://db/test --plot figures.svg",
    "coatcheck compare --json | jq .ways.cookie.warm",
)
LONGEST_S = 60.0
NAMES = {"cookie": "cookie", "jwt": "JWT", "hybrid": "hybrid"}


def compare(
    *,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", metavar="URL", help="Measure on this store, one for trying out.", show_default="one of its own"
        ),
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it, too, as SVG.")] = None,
    as_json: Json = False,
) -> None:
    """
    Measure session cookie, JWT and both together on this machine: bytes, microseconds, and the time to a revocation.

    It takes a few seconds. On a store that is named it signs in, and ends, some hundred sessions of a subject of its
    own; a store without signing keys gets one.
    """
    out = output(as_json)
    if plot is not None and not plot.parent.is_dir():
        raise Mistake("unwritable", f"--plot: there is no folder {plot.parent}", exit_code=WRONG)
    quiet()
    if store is None:
        with tempfile.TemporaryDirectory(prefix="coatcheck-compare-") as folder:
            found = _measured(f"sqlite:///{folder}/compare.db", out)
    else:
        check_url(store, "--store")
        found = _measured(store, out)
    if plot is not None:
        _draw(plot, found)
    _tell(out, found)
    out.document({"access_minutes": _minutes(), **msgspec.to_builtins(found)})


def _measured(url: str, out: Output) -> Any:
    from coatcheck.cli.compare.measure import measure  # here: no other command needs what it loads

    async def bounded(advance: Any) -> Any:
        async with asyncio.timeout(LONGEST_S):
            return await measure(url, advance)

    with out.progress("Measuring") as advance:
        try:
            return asyncio.run(bounded(advance))
        except TimeoutError:
            detail = f"--store: it took longer than {LONGEST_S:.0f} s"
            raise Mistake("too_slow", detail, exit_code=WRONG) from None


def _minutes() -> int:
    from coatcheck.cli.compare.measure import POLICY

    return POLICY.access_s // 60


def _tell(out: Output, found: Any) -> None:
    """Tell people."""
    from coatcheck.cli.compare import words

    ways = found.ways
    rows = [
        ("storage", *words.STORAGE.values()),
        ("lookup", *words.LOOKUP.values()),
        ("on the wire", *(f"{way.wire_bytes} bytes" for way in ways.values())),
        ("warm check", *(_cost(way.warm) for way in ways.values())),
        ("cold check", *(_cost(way.cold) for way in ways.values())),
        ("revoked after", *(_revoked(way) for way in ways.values())),
        ("best for", *words.BEST_FOR.values()),
        ("when it fails", *words.FAILURE.values()),
    ]
    out.table(("", *(NAMES[way] for way in ways)), rows, empty="")
    out.say(
        f"\nMeasured here, in the same run: a dict lookup {found.lookup_us:.3f} µs, a bare signature check "
        f"{found.signature_us:.1f} µs.\nTimes are the best of the rounds, ratios the median; cold is a first check."
    )
    out.say(words.EVERYWHERE_ELSE.format(minutes=_minutes()))
    out.say(words.ADVICE)


def _cost(cost: Any) -> str:
    return f"{cost.us:.1f} µs ({cost.lookups:.0f} lookups, {cost.signatures:.2f} signatures)"


def _revoked(way: Any) -> str:
    late = f", accepted {way.accepted_after} times after" if way.accepted_after else ""
    return f"{way.revoked_ms:.1f} ms{late}"


def _draw(path: Path, found: Any) -> None:
    from coatcheck.cli.compare.plot import bars

    pictures = {
        "Bytes in each request": {
            NAMES[name]: (way.wire_bytes, f"{way.wire_bytes}") for name, way in found.ways.items()
        },
        "A warm check, µs": _times(found, "warm"),
        "A cold check, µs": _times(found, "cold"),
        "From revoke to refusal elsewhere, ms": {
            NAMES[name]: (way.revoked_ms, f"{way.revoked_ms:.1f}") for name, way in found.ways.items()
        },
    }
    try:
        path.write_text(bars("Cookie, JWT and hybrid, measured here", pictures), encoding="utf-8")
    except OSError as error:
        raise Mistake("unwritable", f"--plot: {path} cannot be written: {error.strerror}", exit_code=WRONG) from None


def _times(found: Any, which: str) -> dict[str, tuple[float, str]]:
    """Return the bars of one kind of check, with a dict lookup and a signature to compare them with."""
    costs = {NAMES[name]: getattr(way, which) for name, way in found.ways.items()}
    bars_ = {name: (cost.us, f"{cost.us:.1f} ({cost.lookups:.0f} lookups)") for name, cost in costs.items()}
    return bars_ | {"signature": (found.signature_us, f"{found.signature_us:.1f}")}
