"""
From the modules in ``pages/`` to one self-contained HTML file per tool. Floor 6; may import: its own room.

Browsers load no modules from ``file://``, and none with a plain ``<script src>`` into a page of a sandbox, whose origin
is nobody's. So there is one form for both: every module, in the order in which they need each other, and the style are
inside the page, and the page's policy names them by their hashes. They are put in as they were written: whoever wants
to know what a page does reads it with "view source".

Rules of this module:

1. A page asks for nothing: no address in it leads anywhere but to the other tools.
2. A module says ``import { a, b as c } from "./file.mjs";`` and ``export`` before a function, class or const. Any
   other way to say it is an error here, not a page that does not work there.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import html
import re
from pathlib import Path

from coatcheck.tools import INDEX, TOOLS, Tool

PAGES = Path(__file__).parent / "pages"
ALL = (INDEX, *TOOLS)

_IMPORT = re.compile(r'^import \{([\w\s,]+)\} from "(\.{1,2}/[\w./-]+\.mjs)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*? |const |class )(\w+))", re.MULTILINE)
_LEFT_OVER = re.compile(r"^(?:import|export)\b.*|\bimport\s*\(|\bimport\.meta\b", re.MULTILINE)
_BREAKS_OUT = re.compile(r"</(?:script|style)|<!--|\r", re.IGNORECASE)
_SLOT = re.compile(r"\{\{(\w+)\}\}")


class BuildError(Exception):
    """A page cannot be made; for whoever writes one."""


@dataclasses.dataclass(frozen=True)
class Page:
    """
    A page, ready.

    Attributes:
        text: The whole of it. policy: what the text itself, in a ``meta``, allows it.
    """

    text: str
    policy: str


@functools.cache
def page(tool: Tool, *, suffix: str = ".html") -> Page:
    """
    Return the page of *tool*.

    Args:
        suffix: How the addresses of the other tools end: ``.html`` in files, nothing on a server.
    """
    style = _text(PAGES / "shell" / "style.css") + _if_there(PAGES / tool.name / "style.css")
    script = bundle(PAGES / tool.name / "page.mjs")
    for name, text in (("style", style), ("script", script)):
        if found := _BREAKS_OUT.search(text):
            raise BuildError(f"{tool.name}: its {name} holds {found[0]!r}, which would end it early")
    policy = _policy(script, style)
    slots = {
        "about": html.escape(tool.about),
        "content": _text(PAGES / tool.name / "page.html"),
        "home": _address(INDEX, suffix),
        "icon": "data:image/svg+xml;base64," + base64.b64encode((PAGES / "shell" / "icon.svg").read_bytes()).decode(),
        "links": "".join(_link(one, tool, suffix) for one in TOOLS),
        "list": "".join(_entry(one, suffix) for one in TOOLS),
        "name": tool.name,
        "policy": html.escape(policy),
        "script": script,
        "style": style,
        "title": html.escape(tool.title),
    }
    slots["content"] = _filled(slots["content"], slots)
    return Page(text=_filled(_text(PAGES / "shell" / "page.html"), slots), policy=policy)


def write(folder: Path) -> list[Path]:
    """Write every page into *folder*, which is made if need be; return the files, the list of all first."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for tool in ALL:
        written.append(folder / f"{tool.name}.html")
        written[-1].write_text(page(tool).text, encoding="utf-8", newline="\n")
    return written


def bundle(entry: Path) -> str:
    """
    Return *entry* and all it imports as one script: each module a function, called once, the needed ones first.

    Raises:
        BuildError: A module is not there, needs itself, or is not written as rule 2 says.
    """
    made: dict[Path, str] = {}
    _add(entry.resolve(), made, ())
    return '"use strict";\n' + "".join(made.values())


def _add(path: Path, made: dict[Path, str], above: tuple[Path, ...]) -> None:
    if path in above:
        raise BuildError(f"{_name(path)} needs itself, by way of {_name(above[-1])}")
    if path in made:
        return
    if PAGES.resolve() not in path.parents or not path.is_file():
        raise BuildError(f"{_name(path)} is not there")
    text = _text(path)
    for found in _IMPORT.finditer(text):
        _add((path.parent / found[2]).resolve(), made, (*above, path))
    body = _IMPORT.sub(lambda found: _taken(path, found, made), text)
    exported = _EXPORT.findall(body)
    body = _EXPORT.sub("", body)
    if left := _LEFT_OVER.search(body):
        raise BuildError(f"{_name(path)}: cannot be put into a page: {left[0]!r}")
    made[path] = f"\n// ---- {_name(path)}\n{_variable(path)} = (() => {{\n{body}\n{_given(exported)}}})();\n"


def _taken(path: Path, found: re.Match[str], made: dict[Path, str]) -> str:
    """Return what stands in the place of an import."""
    needed = (path.parent / found[2]).resolve()
    names = [name.strip() for name in found[1].split(",") if name.strip()]
    given = re.search(r"return \{ (.*) \};\n\}\)\(\);\n$", made[needed])
    missing = {name.split()[0] for name in names} - set(given[1].split(", ") if given else ())
    if missing:
        raise BuildError(f"{_name(path)}: {_name(needed)} exports no {', '.join(sorted(missing))}")
    return f"const {{ {', '.join(names).replace(' as ', ': ')} }} = {_variable(needed).removeprefix('const ')};\n"


def _given(exported: list[str]) -> str:
    return f"return {{ {', '.join(exported)} }};\n" if exported else ""


def _variable(path: Path) -> str:
    return "const module_" + re.sub(r"\W", "_", _name(path).removesuffix(".mjs"))


def _name(path: Path) -> str:
    return path.relative_to(PAGES.resolve()).as_posix() if PAGES.resolve() in path.parents else path.name


def _policy(script: str, style: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)}",
            f"style-src {_hash(style)}",
            "img-src data:",
            "connect-src 'none'",
            "form-action 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _address(tool: Tool, suffix: str) -> str:
    return "./" if tool is INDEX and not suffix else f"{tool.name}{suffix}"


def _link(tool: Tool, here: Tool, suffix: str) -> str:
    mark = ' aria-current="page"' if tool is here else ""
    return f'<li><a href="{_address(tool, suffix)}"{mark}>{html.escape(tool.short)}</a></li>'


def _entry(tool: Tool, suffix: str) -> str:
    link = f'<a href="{_address(tool, suffix)}">{html.escape(tool.title)}</a>'
    return f'<li class="sheet door"><h2>{link}</h2><p>{html.escape(tool.about)}</p></li>'


def _filled(text: str, slots: dict[str, str]) -> str:
    """Return *text* with its slots filled, in one go: what is put in is not looked at again."""
    return _SLOT.sub(lambda found: slots[found[1]], text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BuildError(f"{_name(path.resolve())} is not there") from None


def _if_there(path: Path) -> str:
    return _text(path) if path.exists() else ""
