"""``coatcheck tools``: the pages for debugging, as files. Floor 6; may import: floors 0 to 6."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from coatcheck.cli.mistakes import WRONG, Mistake
from coatcheck.cli.options import Json, examples
from coatcheck.cli.output import shown
from coatcheck.cli.users import output
from coatcheck.tools import build

EXAMPLES = examples("coatcheck tools --open", "coatcheck tools --write tools")


def tools(
    *,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="DIR", help="Write one file per tool into this folder.", show_default=False),
    ] = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Open them in the browser; without --write from a folder of their own.")
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Write the pages for debugging (JWT decoder and others), which work without a server.

    Each is one file that holds all it needs. Nothing that is pasted there leaves the browser's tab.
    """
    if write is None and not open_:
        detail = "--write: is missing; name a folder, or give --open to see them at once"
        raise Mistake("usage", detail, exit_code=WRONG)
    folder = write or Path(tempfile.mkdtemp(prefix="coatcheck-tools-"))
    try:
        files = build.write(folder)
    except OSError as error:
        raise Mistake("not_written", f"--write: {error.strerror}: {folder}", exit_code=WRONG) from None
    out = output(as_json)
    out.say(f"{shown(str(folder))} holds {len(files)} files; open {shown(str(files[0]))} in a browser.")
    out.document({"folder": str(folder), "files": [file.name for file in files]})
    if open_ and not webbrowser.open(files[0].resolve().as_uri()):
        raise Mistake("no_browser", f"--open: no browser was found; open {files[0]} in one", exit_code=WRONG)
