"""The documentation as a site: whole, true of the code, and asking nobody for anything."""

import ast
import html.parser
import inspect
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest
import typer
from tests.serving import ROOT

import coatcheck
from coatcheck.cli.app import app
from coatcheck.server.metrics import Metrics

DOCS = sorted((ROOT / "docs").rglob("*.md"))


class Page(html.parser.HTMLParser):
    """What a page links to, loads, and names."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loads, self.ids, self.alts = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in {"script", "img", "iframe", "source"} and given.get("src"):
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in {"stylesheet", "preload", "preconnect", "icon"}:
            self.loads.append(given["href"])
        if tag == "img":
            self.alts.append(given.get("alt"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as ``make docs`` does: a link that leads nowhere, or a page that nobody finds, is an error."""
    to = tmp_path_factory.mktemp("docs") / "site"
    script = [sys.executable, str(ROOT / "scripts" / "site.py"), "--to", str(to)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not included in the" not in done.stderr, done.stderr
    return to


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its path."""
    return {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_link_leads_somewhere(site, pages):
    """To a page, and to a heading that is on it."""
    lost = []
    for path, page in pages.items():
        for link in page.links:
            where, _, anchor = urllib.parse.unquote(link).partition("#")
            if re.match(r"(https?:|mailto:)", where):
                continue
            target = (path.parent / where).resolve() if where else path
            known = target in pages and (not anchor or anchor in pages[target].ids or anchor == "__skip")
            if not (known or (target.suffix != ".html" and target.exists())):
                lost.append((str(path.relative_to(site)), link))
    assert lost == []
    assert len(pages) > 70


def test_nothing_is_loaded_from_elsewhere(site, pages):
    """And everything that is loaded is there."""
    for path, page in pages.items():
        for load in page.loads:
            assert not re.match(r"(https?:)?//", load), (path, load)
            assert (path.parent / urllib.parse.unquote(load).partition("?")[0]).resolve().exists(), (path, load)
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(\s*[\"']?(https?:)?//", path.read_text()), path


def test_pictures_say_what_they_show(pages):
    """To who cannot see them."""
    shown = [alt for page in pages.values() for alt in page.alts]
    assert len(shown) >= 9
    assert all(alt and len(alt) > 20 for alt in shown)


def test_every_public_name_is_in_the_reference(site, pages):
    """Made of the docstrings, on a page of its module."""
    ids = pages[site / "docs" / "api" / "coatcheck.html"].ids
    assert [name for name in coatcheck.__all__ if f"coatcheck.{name}" not in ids and not name.startswith("__")] == []
    for method in ("sign_in", "check", "check_now", "revoke", "access_token", "verify", "refresh"):
        assert f"coatcheck.Coatcheck.{method}" in ids, method


def commands(typed, path=("coatcheck",)):
    """Every command with its parameters, by its full name."""
    group = typer.main.get_command(typed) if isinstance(typed, typer.Typer) else typed
    for name, command in getattr(group, "commands", {}).items():
        if getattr(command, "commands", None):
            yield from commands(command, (*path, name))
        elif not command.hidden:
            yield " ".join((*path, name)), command


def test_every_command_and_option_is_documented():
    """On the command's page."""
    text = (ROOT / "docs/reference/command.md").read_text()
    missing = []
    for name, command in commands(app):
        if name not in text:
            missing.append(name)
        for option in command.params:
            long = [one for one in option.opts if one.startswith("--")]
            if long and not option.hidden and not any(one in text for one in long):
                missing.append(f"{name} {long[0]}")
    assert missing == []


def test_every_metric_is_documented():
    """By the name under which it is scraped."""
    source = Path(sys.modules[Metrics.__module__].__file__).read_text()
    names = {name.removesuffix("_total") for name in re.findall(r'"(coatcheck_\w+)"', source)}
    text = (ROOT / "docs/reference/server.md").read_text()
    assert len(names) > 8
    assert [name for name in names if name not in text] == []


def blocks():
    """Every block of Python in the documentation, with where it stands."""
    for path in [*DOCS, ROOT / "README.md"]:
        for count, block in enumerate(
            re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)
        ):
            yield pytest.param(block, id=f"{path.relative_to(ROOT)}-{count}")


@pytest.mark.parametrize("block", list(blocks()))
def test_every_block_is_python_and_names_what_there_is(block):
    """What is run is run by the tests of its page; here nothing stands that could not be."""
    tree = compile(block, "block", "exec", flags=ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "coatcheck":
            exec(f"from {node.module} import {', '.join(alias.name for alias in node.names)}", names)
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            owner = {"auth": coatcheck.Coatcheck, "verifier": coatcheck.Verifier}.get(node.func.value.id)
            assert owner is None or hasattr(owner, node.func.attr), ast.unparse(node)
            if owner is not None:
                known = {*_parameters(getattr(owner, node.func.attr))}
                given = {word.arg for word in node.keywords if word.arg}
                assert not known or given <= known, ast.unparse(node)


def _parameters(function):
    parameters = inspect.signature(function).parameters.values()
    return [] if any(one.kind is one.VAR_KEYWORD for one in parameters) else [one.name for one in parameters]
