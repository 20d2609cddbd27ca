"""
Reads a response that somebody has saved. Floor 6; may import: floor 0, and the mistakes of the command.

What ``curl -i`` writes, ``curl -D``, or a browser's "copy response headers": a status line or none, fields, an empty
line, and perhaps a body. Where several follow each other (100, redirects), all of them count.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from coatcheck.cli.doctor.answer import Answer
from coatcheck.cli.mistakes import WRONG, Mistake

LONGEST = 2 * 1024 * 1024
_STATUS = re.compile(r"HTTP/\d(?:\.\d)?\s+(\d{3})(?:\s.*)?")
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*(.*)")


def read(name: str) -> tuple[Answer, ...]:
    """
    Return the responses in the file *name*; ``-`` is stdin.

    Raises:
        Mistake: It cannot be read, or holds none. What it holds is not repeated.
    """
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(name).open("rb") as opened:
                raw = opened.read(LONGEST + 1)
    except OSError as error:
        raise Mistake("unreadable", f"--response: {error.strerror}: {name}", exit_code=WRONG) from None
    if len(raw) > LONGEST:
        raise Mistake("unreadable", f"--response: it holds more than {LONGEST} bytes", exit_code=WRONG)
    found = parse(raw)
    if not found:
        detail = "--response: it holds no response; save one with: curl -si -o FILE …"
        raise Mistake("unreadable", detail, exit_code=WRONG)
    return found


def parse(raw: bytes) -> tuple[Answer, ...]:
    """Return the responses in *raw*, those of an interim status (1xx) left out."""
    found: list[Answer] = []
    rest = raw.lstrip()
    while rest and len(found) < 20:
        head, rest = _split(rest)
        answer = _answer(head, len(found) + 1)
        if answer is None:
            break
        # A body has no marked end in such a file: it is all that is left, unless another status line begins there.
        if not re.match(rb"HTTP/\d", rest):
            answer, rest = _with_body(answer, rest), b""
        if not 100 <= answer.status < 200:
            found.append(answer)
    return tuple(found)


def _split(raw: bytes) -> tuple[str, bytes]:
    parts = re.split(rb"\r?\n[ \t]*\r?\n", raw, maxsplit=1)
    return parts[0].decode("latin-1"), parts[1].lstrip(b"\r\n") if len(parts) > 1 else b""


def _answer(head: str, number: int) -> Answer | None:
    lines = head.splitlines()
    status = _STATUS.fullmatch(lines[0].strip()) if lines else None
    fields = []
    for line in lines[1:] if status else lines:
        field = _FIELD.fullmatch(line.rstrip())
        if field is None:
            return None
        fields.append((field[1].lower(), field[2].strip()))
    if not status and not fields:
        return None
    what = "the saved response" if number == 1 else f"the saved response {number}"
    return Answer(what=what, status=int(status[1]) if status else 200, fields=tuple(fields))


def _with_body(answer: Answer, body: bytes) -> Answer:
    return Answer(what=answer.what, status=answer.status, fields=answer.fields, body=body)
