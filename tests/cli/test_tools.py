"""coatcheck tools."""

import webbrowser
from pathlib import Path

import pytest

from coatcheck.tools import build

NAMES = [f"{tool.name}.html" for tool in build.ALL]


@pytest.fixture
def opened(monkeypatch):
    """What a browser would be told to open."""
    addresses = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_they_are_written(cli, place, opened):
    """Into a folder that is made; no browser is asked, and no store or database."""
    ran = cli("tools", "--write", "a/b")
    assert (ran.code, ran.err) == (0, "")
    assert "a/b/index.html" in ran.out
    assert sorted(path.name for path in Path("a/b").iterdir()) == sorted(NAMES)
    assert Path("a/b/jwt.html").read_text() == build.page(build.ALL[1]).text
    assert cli("tools", "--write", "a/b", "--json").json == {"folder": "a/b", "files": NAMES}
    assert opened == []
    assert [path.name for path in place.iterdir()] == ["a"]


def test_they_are_opened(cli, place, opened):
    """The list of them, by its address as a file."""
    assert cli("tools", "--write", "here", "--open").code == 0
    assert opened == [(place / "here" / "index.html").as_uri()]
    folder = cli("tools", "--open", "--json").json["folder"]
    assert opened[1] == (Path(folder) / "index.html").as_uri()
    assert Path(folder).stat().st_mode & 0o77 == 0


def test_what_goes_wrong(cli, place, opened, monkeypatch):
    """Nothing to do, no folder to write to, no browser."""
    ran = cli("tools")
    assert (ran.code, ran.out) == (2, "")
    assert "--write: " in ran.err
    Path("file").write_text("mine")
    ran = cli("tools", "--write", "file/x", "--json")
    assert (ran.code, ran.error["code"]) == (2, "not_written")
    assert Path("file").read_text() == "mine"
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    ran = cli("tools", "--write", "here", "--open", "--json")
    assert (ran.code, ran.error["code"]) == (2, "no_browser")
    assert Path("here/index.html").exists()
