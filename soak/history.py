"""
What every process did, written down as it happens. Knows nothing of Coatcheck.

Rules of this module:

1. One clock: ``time.monotonic_ns``, which all processes of a machine share and which no calendar moves.
2. What may change something is written down before it is done, and again when it has returned. A process that is killed
   in between leaves an operation whose outcome is unknown.
3. Checks are too many for a line each. Equal ones are folded into the first and the last of them and their number, in a
   mapped file: what has been written there survives the process, too.
4. One file per process, one ``write`` per line. A last line without its end is the trace of a kill, and no fault.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

now = time.monotonic_ns
FOREVER = 2**62

Outcome = Literal["ok", "refused", "committed", "unknown"]


class Op(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One operation of one process.

    Attributes:
        kind: ``sign_in``, ``renew``, ``claims``, ``revoke``, ``revoke_user``, ``revoke_everyone``, ``mint``,
            ``issue_refresh``, ``refresh``, ``write_data``, ``read_data``, ``check``, ``verify``; ``open``: an engine
            began; ``crash``: something was raised that never should be; ``fault``: what was done to a process.

        begin, end: When it was called and when it returned, nanoseconds.

        outcome: ``ok``, ``refused``, ``committed`` (it has happened, but not every process has said so), or
            ``unknown``: it may have happened, and may yet.

        reason: Of a refusal. process: ``number.life``; a worker that was killed goes on in its next life.

        sid, sub, version: Of the session. token: what was presented. fresh: what was given for it. jwt: the access
            token given along. All by name: none of them can be used.

        keep: The ``sid`` that ``revoke_user`` left alone.

        claims: What a check showed, or a sign-in or an update wrote; every write has a value of its own.

        data: Data keys written, or found, and their values. gone: keys removed.

        since, until: When what this was done with was asked for, and given: the session of a ``mint``, the generation
            of a ``sign_in``. Of a fault that puts a store back: when that was stopped.

        warm: Answered from memory. times: how many equal ones this stands for; 0: it was counted elsewhere.

        note: For people.
    """

    kind: str
    begin: int
    end: int = FOREVER
    process: str = ""
    outcome: Outcome = "ok"
    reason: str = ""
    sid: str = ""
    sub: str = ""
    version: int = 0
    token: str = ""
    fresh: str = ""
    jwt: str = ""
    keep: str = ""
    claims: str = ""
    data: dict[str, int] = {}
    gone: tuple[str, ...] = ()
    since: int = 0
    until: int = 0
    warm: bool = False
    times: int = 1
    note: str = ""

    def precedes(self, other: Op) -> bool:
        """Say whether this had returned, with an answer, before *other* began. Else either order is right."""
        return self.outcome in ("ok", "refused") and self.end < other.begin


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of a file: an operation; that it began or is over (``id``); or what a slot of the folds is about."""

    op: Op
    id: int = -1
    slot: int = -1


# The last two in this order: a kill between them leaves an interval that is too long, never one that began too late.
_FOLD = struct.Struct("<qqqqq")  # first begin, first end, number, last end, last begin
_LATEST = struct.Struct("<qqq")
_LATEST_AT = 16
_SLOTS = 1 << 21  # a file with a hole: what is not used costs nothing
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


class Running:
    """An operation under way."""

    def __init__(self, recorder: Recorder, op: Op, ident: int) -> None:
        self._recorder = recorder
        self.op = op
        self._ident = ident

    def done(self, outcome: Outcome = "ok", **more: Any) -> Op:
        """Write down that it returned now, and what came of it."""
        self.op = replace(self.op, end=now(), outcome=outcome, **more)
        self._recorder.write(_Line(self.op, id=self._ident))
        return self.op


class Recorder:
    """Writes the history of one process into *folder*."""

    def __init__(self, folder: Path, process: str) -> None:
        self.process = process
        self._file = os.open(folder / f"ops-{process}", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with (folder / f"folds-{process}").open("w+b") as folds:
            folds.truncate(_SLOTS * _FOLD.size)
            self._folds = mmap.mmap(folds.fileno(), 0)
        self._slots: dict[tuple[Any, ...], list[int]] = {}  # key -> [offset, number, first end]
        self._count = 0

    def write(self, line: _Line) -> None:
        """Write one line."""
        os.write(self._file, _encode(line) + b"\n")

    def start(self, kind: str, **fields: Any) -> Running:
        """Write down that something is about to be done that may change something."""
        self._count += 1
        op = Op(kind=kind, begin=now(), process=self.process, **fields)
        self.write(_Line(replace(op, outcome="unknown"), id=self._count))
        return Running(self, op, self._count)

    def note(self, kind: str, begin: int, *, end: int = 0, **fields: Any) -> Op:
        """Write down something that returned, now if *end* is left out."""
        op = Op(kind=kind, begin=begin, end=end or now(), **{"process": self.process, **fields})
        self.write(_Line(op))
        return op

    def fold(self, begin: int, end: int, *key: Any) -> None:
        """
        Count one of many equal operations.

        Args:
            key: Kind, outcome, reason, sid, token, version, claims, warm.
        """
        slot = self._slots.get(key)
        if slot is None:
            self._begin_fold(begin, end, key)
            return
        offset = slot[0]
        slot[1] += 1
        _LATEST.pack_into(self._folds, offset + _LATEST_AT, slot[1], end, begin)
        if end < slot[2]:  # of several under way at once, a later one returned first
            slot[2] = end
            struct.pack_into("<qq", self._folds, offset, begin, end)

    def _begin_fold(self, begin: int, end: int, key: tuple[Any, ...]) -> None:
        number = len(self._slots)
        if number >= _SLOTS:
            raise ValueError("the history is full: a shorter run, or more slots")
        offset = number * _FOLD.size
        _FOLD.pack_into(self._folds, offset, begin, end, 1, end, begin)
        kind, outcome, reason, sid, token, version, claims, warm = key
        fields = {"sid": sid, "token": token, "version": version, "claims": claims, "warm": warm}
        op = Op(kind=kind, begin=begin, process=self.process, outcome=outcome, reason=reason, **fields)
        self.write(_Line(op, slot=number))
        self._slots[key] = [offset, 1, end]

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._file)
        self._folds.close()


def load(folder: Path) -> list[Op]:
    """
    Return what all processes have written into *folder*.

    Raises:
        ValueError: A line that is not the last of its file cannot be read.
    """
    return [op for path in sorted(folder.glob("ops-*")) for op in _load_one(path)]


def _load_one(path: Path) -> Iterator[Op]:
    *lines, _torn = path.read_bytes().split(b"\n")  # what follows the last line's end is nothing, or torn
    begun: dict[int, Op] = {}
    with path.with_name(path.name.replace("ops-", "folds-", 1)).open("rb") as opened:
        folds = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    for text in lines:
        try:
            line = _decode(text)
        except msgspec.DecodeError as error:
            raise ValueError(f"{path.name}: a line in the middle cannot be read: {text[:80]!r}") from error
        if line.id >= 0:
            begun[line.id] = line.op
        elif line.slot >= 0:
            yield from _unfold(line.op, folds, line.slot)
        else:
            yield line.op
    yield from begun.values()


def _unfold(op: Op, folds: mmap.mmap, slot: int) -> Iterable[Op]:
    first_begin, first_end, times, end, begin = _FOLD.unpack_from(folds, slot * _FOLD.size)
    yield replace(op, begin=first_begin, end=first_end, times=times)
    if times > 1 and begin <= end:
        yield replace(op, begin=begin, end=end, times=0)
