"""
What the command prints. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. Names and user agents are hostile text: whatever could steer a terminal is shown as an escape, and nothing in it is
   taken for markup.
2. With ``--json`` one document goes to stdout and nothing else. Without a terminal there are no colours, no boxes and
   no progress bars, and nothing is cut.
3. Times are relative for people at a terminal, ISO 8601 for everything else.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from coatcheck.clock import DAY, HOUR, MINUTE

MANY = 500
"""From so many rows on a progress bar is worth its flicker."""

_IN_ONE_PIECE = ("sid", "kid", "event", "seen", "created", "time")  # to be copied, or ugly otherwise
_BRIEF = 32
_UNITS = ((365 * DAY, "year"), (30 * DAY, "month"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))


def shown(text: str) -> str:
    """Return *text* with everything escaped that a terminal might obey or hide: controls, line ends, bidi marks."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def iso(at: int) -> str:
    """Return a time as ISO 8601, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def relative(at: int, now: int) -> str:
    """Return a time as people say it."""
    for unit_s, name in _UNITS:
        count = abs(now - at) // unit_s
        if count:
            text = f"{count} {name}{'' if count == 1 else 's'}"
            return f"{text} ago" if at < now else f"in {text}"
    return "just now"


class Output:
    """
    One command's way of speaking.

    Args:
        as_json: Whether a program reads it.

        now: The time to which others are relative.
    """

    def __init__(self, *, as_json: bool, now: int) -> None:
        self.as_json = as_json
        self._now = now
        self.is_terminal = sys.stdout.isatty() and not as_json

    def say(self, text: str) -> None:
        """Tell a person; with ``--json`` nobody."""
        if not self.as_json:
            sys.stdout.write(text + "\n")

    def document(self, value: Any) -> None:
        """Print the one JSON document; without ``--json`` nothing."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2) + "\n")  # everything above ASCII is escaped

    def time(self, at: int) -> str:
        """Return a time for a person or a file."""
        return relative(at, self._now) if self.is_terminal else iso(at)

    def brief(self, text: str) -> str:
        """Return a long text, cut for a person at a terminal only."""
        is_long = self.is_terminal and len(text) > _BRIEF
        return f"{text[: _BRIEF - 1]}…" if is_long else text

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
        """Print rows of hostile text."""
        if self.as_json:
            return
        safe = [[shown(cell) for cell in row] for row in rows]
        if not safe:
            self.say(empty)
        elif self.is_terminal:
            self._print_box(columns, safe)
        else:
            self._print_plain(columns, safe)

    def _print_box(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
        # A terminal is narrow: columns without anything in them stay away. What is left is folded, never cut.
        used = [index for index in range(len(columns)) if any(row[index] for row in rows)]
        for index in used:
            table.add_column(Text(columns[index]), overflow="fold", no_wrap=columns[index] in _IN_ONE_PIECE)
        for row in rows:
            table.add_row(*(Text(row[index]) for index in used))
        console = Console(file=sys.stdout, force_terminal=True, highlight=False, markup=False, emoji=False)
        console.print(table)

    def _print_plain(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [columns, *rows]
        widths = [max(cell_len(line[index]) for line in lines) for index in range(len(columns))]
        for line in lines:
            padded = (cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True))
            self.say("  ".join(padded).rstrip())

    @contextlib.contextmanager
    def progress(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show progress at a terminal, when there are many rows; give what is to be told of it."""
        few = total is not None and total < MANY
        if few or self.as_json or not (sys.stderr.isatty() and sys.stdout.isatty()):
            yield lambda count: None
            return
        bar = Progress(
            SpinnerColumn(),
            TextColumn(title, markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            console=Console(file=sys.stderr, force_terminal=True),
            transient=True,
        )
        with bar:
            task = bar.add_task(title, total=total)
            yield lambda count: bar.advance(task, count)
