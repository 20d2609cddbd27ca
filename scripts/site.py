"""
Builds the documentation site: ``make docs`` writes it to ``build/site``, ``make docs SERVE=1`` shows it as well.

It is files, and asks nobody for anything. Opened without a server it has everything but the search: browsers let no
page read its index from a file.

Rules of this script:

1. The pages are the Markdown files of the repository, at the same places, so that every link is good in both.
2. The navigation is ``docs/README.md``: a page that is not named there makes the tests red.
3. The reference of the Python interface is made of the docstrings.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PORT = 8100
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
FOLDERS = ("docs", "examples", "verification", "src/coatcheck/tools", "requirements")
API = {
    "coatcheck": "The engine, tokens and records",
    "coatcheck.asgi": "ASGI",
    "coatcheck.fastapi": "FastAPI and Starlette",
    "coatcheck.litestar": "Litestar",
    "coatcheck.flask": "Flask",
    "coatcheck.wsgi": "WSGI",
    "coatcheck.django": "Django",
    "coatcheck.blocking": "Without await",
    "coatcheck.testing": "For tests",
}
STYLE = """
.md-typeset table:not([class]) { font-size: .72rem; }
.md-typeset h1 { color: inherit; font-weight: 500; }
.md-typeset h2 { font-weight: 500; }
.md-typeset p:has(> img) { overflow-x: auto; }
.md-typeset img { height: auto; max-width: 100%; min-width: 34rem; }
@media print { .md-typeset img { min-width: 0; } }
.md-typeset code { word-break: normal; overflow-wrap: anywhere; }
.md-nav__title { font-weight: 600; }
.doc-heading { overflow-wrap: anywhere; }
"""


def main(arguments: list[str] | None = None) -> int:
    """Build the site; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "site", help="where the site is written")
    parser.add_argument("--serve", action="store_true", help="then show it on http://localhost:8100 until Ctrl-C")
    given = parser.parse_args(arguments)
    to = given.to.resolve()
    staged = to.with_name(to.name + "-pages")
    shutil.rmtree(staged, ignore_errors=True)
    stage(staged)
    settings = staged.with_suffix(".yml")
    settings.write_text(yaml.safe_dump(configuration(staged, to), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(settings)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=False)
    if done.returncode == 0:
        print(f"the site is in {to}: open {to / 'index.html'}")
        if given.serve:
            serve(to)
    return done.returncode


def serve(to: Path) -> None:
    """Show the site until Ctrl-C."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(to))
    with (
        http.server.ThreadingHTTPServer(("localhost", PORT), handler) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        print(f"and on http://localhost:{PORT}/ until Ctrl-C", flush=True)
        server.serve_forever()


def stage(staged: Path) -> None:
    """Copy every page to where it stands in the repository, and write those of the Python interface."""
    for path in [ROOT / name for name in OUTSIDE] + [found for name in FOLDERS for found in (ROOT / name).rglob("*")]:
        if path.suffix in {".md", ".svg"} and "build" not in path.relative_to(ROOT).parts:
            copy = staged / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    (staged / "site.css").write_text(STYLE, encoding="utf-8")
    sys.path.insert(0, str(ROOT / "src"))
    for module, title in API.items():
        page = staged / "docs" / "api" / f"{module}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(f"# {title}: `{module}`\n\n" + "\n\n".join(directives(module)) + "\n", encoding="utf-8")


def directives(module: str) -> list[str]:
    """Return what makes a page of the public names of *module*."""
    text = (ROOT / "src" / Path(*module.split("."))).with_suffix(".py")
    if not text.exists():
        text = ROOT / "src" / Path(*module.split(".")) / "__init__.py"
    listed = re.search(r"^__all__ = (\[.*?\])", text.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    names = re.findall(r'"(\w+)"', listed[1]) if listed else []
    return [f"::: {module}.{name}" for name in names if not name.startswith("__")] or [f"::: {module}"]


def navigation() -> list[dict[str, object]]:
    """Return what ``docs/README.md`` lists, by its headings in bold."""
    text = (ROOT / "docs" / "README.md").read_text("utf-8")
    found: list[dict[str, object]] = [{"Coatcheck": "README.md"}]
    for heading, body in re.findall(r"^\*\*([\w ]+)\*\*:(.*?)(?=^\*\*|\Z)", text, re.MULTILINE | re.DOTALL):
        links = re.findall(r"\[([^\]]+)\]\(([^)]+)\)", body)
        found.append({heading: [{_capital(name): _place(link)} for name, link in links]})
    found.append({"Python": [{title: f"docs/api/{module}.md"} for module, title in API.items()]})
    found.append({"Project": [{_capital(name.removesuffix(".md").lower()): name} for name in OUTSIDE[1:]]})
    return found


def configuration(staged: Path, to: Path) -> dict[str, object]:
    """Return the generator's settings."""
    scheme = "(prefers-color-scheme: {})"
    palettes = [
        {"media": scheme.format("light"), "scheme": "default", "toggle": ("night", "dark")},
        {"media": scheme.format("dark"), "scheme": "slate", "toggle": ("sunny", "light")},
    ]
    return {
        "site_name": "Coatcheck",
        "site_description": "Who is making this request? Sessions and tokens for Python, revocable at once.",
        "docs_dir": str(staged),
        "site_dir": str(to),
        "use_directory_urls": False,
        "nav": navigation(),
        "not_in_nav": "docs/README.md\nexamples/**\nrequirements/**\nsrc/**\n",
        "extra_css": ["site.css"],
        "theme": {
            "name": "material",
            "font": False,  # it would be fetched from elsewhere
            "icon": {"logo": "material/ticket-confirmation-outline"},
            "features": ["navigation.tabs", "navigation.top", "navigation.tracking", "content.code.copy", "toc.follow"],
            "palette": [
                {
                    "media": one["media"],
                    "scheme": one["scheme"],
                    "primary": "indigo",
                    "accent": "indigo",
                    "toggle": {
                        "icon": f"material/weather-{one['toggle'][0]}",
                        "name": f"Show it {one['toggle'][1]}",
                    },
                }
                for one in palettes
            ],
        },
        "markdown_extensions": [
            "admonition",
            "attr_list",
            "tables",
            {"toc": {"permalink": True}},
            {"pymdownx.highlight": {"anchor_linenums": False}},
            "pymdownx.superfences",
            {"pymdownx.tabbed": {"alternate_style": True}},
        ],
        "validation": {"anchors": "warn", "links": {"not_found": "warn", "unrecognized_links": "warn"}},
        "plugins": [
            "search",
            {
                "mkdocstrings": {
                    "handlers": {
                        "python": {
                            "paths": [str(ROOT / "src")],
                            "options": {
                                "docstring_style": "google",
                                "docstring_options": {"warnings": False},
                                "docstring_section_style": "list",
                                "filters": ["!^_", "!^test_"],
                                "heading_level": 2,
                                "inherited_members": True,
                                "members_order": "source",
                                "merge_init_into_class": True,
                                "separate_signature": True,
                                "show_bases": False,
                                "show_root_heading": True,
                                "show_source": False,
                                "show_symbol_type_heading": False,
                                "signature_crossrefs": False,
                            },
                        }
                    }
                }
            },
        ],
    }


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _place(link: str) -> str:
    return os.path.normpath(f"docs/{link}")


if __name__ == "__main__":
    sys.exit(main())
