"""The page of benchmarks says what was found, and whoever claims that something is fast says where to see it."""

import json
import re
import subprocess
import sys

import pytest
from tests.serving import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import _page

from benchmarks._contestants import COMPARED

RESULTS = _page.read(ROOT / "benchmarks" / "results")
PAGE = (ROOT / "docs" / "benchmarks.md").read_text()
# What measures, explains or reports figures has them from figures.md; that page stands beside each.
OF_FIGURES = {"benchmarks.md", "figures.md", "scale.md", "proof.md", "command.md"}
CLAIM = re.compile(r"\bµs\b|\bmicroseconds?\b|\b(?:times|twice) as (?:fast|long|many requests)|\bfaster\b")
# Not of ours, or not of a speed.
FREE = re.compile(r"seconds since 1970|never that it is faster")


def test_the_page_says_what_was_found(tmp_path):
    """Nothing on it was written by hand, and nothing is of an older run."""
    (tmp_path / "reference").mkdir()
    _page.write(tmp_path, RESULTS)
    assert (tmp_path / "benchmarks.md").read_text() == PAGE, "run: python benchmarks/side_by_side.py --page"
    for picture in (tmp_path / "reference").iterdir():
        assert picture.read_text() == (ROOT / "docs" / "reference" / picture.name).read_text()


@pytest.mark.parametrize("one", COMPARED, ids=lambda one: one.name)
def test_everybody_was_asked_everything(one):
    """At length, not for a look."""
    found = RESULTS[one.name]
    assert not found["quick"]
    asked = {"throughput", "p99", "request_bytes", "store_calls", "revocation", "sign_ins", "versions", "machine"}
    asked |= {"refresh"} if one.refreshes else set()
    asked |= {"sessions"} if one.fills else set()
    assert asked <= found.keys()


def test_nobody_lets_in_whom_we_have_signed_out():
    """Neither at the other worker, nor one of eight tabs."""
    ours = [one.name for one in COMPARED if one.is_ours]
    assert ours
    for name in ours:
        assert RESULTS[name]["revocation"]["accepted_after"] == 0, name
        assert RESULTS[name].get("refresh", {"tabs_refused": 0})["tabs_refused"] == 0, name


def test_a_peer_that_is_better_stands_first():
    """On the page, and in the table of its framework."""
    assert PAGE.index("## Where a peer is better") < PAGE.index("## One request")


def test_whoever_says_fast_says_where_to_see_it():
    """In the README and in every document: the line, or the one before or after it, links to a row of the page."""
    lost = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        if path.name in OF_FIGURES:
            continue
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            around = " ".join(lines[max(0, number - 1) : number + 2])
            if CLAIM.search(line) and not FREE.search(line) and "benchmarks.md#" not in around:
                lost.append(f"{path.relative_to(ROOT)}:{number + 1}: {line}")
    assert lost == []


def test_every_row_that_is_linked_to_is_there():
    """By its anchor."""
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for anchor in re.findall(r"benchmarks\.md#([\w-]+)", path.read_text()):
            assert f'id="{anchor}"' in PAGE, f"{path}: {anchor}"


@pytest.mark.long
def test_a_look(tmp_path):
    """The command itself, without wrk: who asks the store, what goes over the wire, who is let in after a sign-out."""
    names = ["starsessions", "pyjwt-es256", "django-cached-db", "coatcheck-cookie-sqlite", "coatcheck-jwt-postgres"]
    script = [
        sys.executable,
        "benchmarks/side_by_side.py",
        "--quick",
        "--json",
        "--to",
        str(tmp_path),
        "--only",
        *names,
    ]
    asked = ["--ask", "on_the_wire", "store_calls", "revocation", "refresh"]
    done = subprocess.run([*script, *asked], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == set(names)
    calls = {name: one["store_calls"] for name, one in found.items()}
    assert calls["starsessions"]["valkey"] >= 1
    assert calls["coatcheck-cookie-sqlite"]["sqlite"] < 0.5 and calls["coatcheck-jwt-postgres"]["postgres"] < 0.5
    let_in = {name: one["revocation"]["accepted_after"] for name, one in found.items()}
    assert let_in["pyjwt-es256"] > 100
    assert {let_in[name] for name in names if name != "pyjwt-es256"} == {0}
    assert found["coatcheck-jwt-postgres"]["refresh"]["tabs_refused"] == 0


@pytest.mark.parametrize(
    ("words", "said"), [(["--only", "nobody"], "there is no nobody"), (["--ask", "nothing"], "invalid choice")]
)
def test_a_wrong_word_is_named(words, said):
    """Before anything is started."""
    script = [sys.executable, "benchmarks/side_by_side.py", *words]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr
