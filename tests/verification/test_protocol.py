"""The model of revocation: it holds, it breaks without any one of its rules, and its page says what was found."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MODEL = ROOT / "verification"
CHECKER = MODEL / "build" / "verify"
COMPILER = os.environ.get("CXX", "c++")

pytestmark = pytest.mark.skipif(
    not (shutil.which(COMPILER.split()[0]) and shutil.which("make")),
    reason=f"no C++ compiler ({COMPILER}) or no make on this machine: the model is not checked",
)


def run(*words):
    return subprocess.run([CHECKER, *words], capture_output=True, text=True)


@pytest.fixture(scope="module")
def checker():
    """The program, compiled where that is due."""
    subprocess.run(["make", "--silent", "verification/build/verify"], cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def quick(checker, tmp_path_factory):
    """What the quick run found."""
    path = tmp_path_factory.mktemp("model") / "results.json"
    outcome = run("--quick", "--no-traces", "--json", path)
    assert outcome.returncode == 0, outcome.stdout
    return json.loads(path.read_text())


def rows(results, kind):
    """The rows that the page should have, for the runs in *results*."""
    for case in results["cases"]:
        name, scope, states, steps = case["case"], case["scope"], f"{case['states']:,}", len(case["trace"])
        without = " and ".join(f"`{guard}`" for guard in case["without"])
        if kind == "base" and not without:
            yield f"| {name} | {scope} | {states} |"
        if kind == "guards" and len(case["without"]) == 1 and steps:
            [guard] = (guard for guard in results["guards"] if guard["name"] == case["without"][0])
            yield f"| {without} | {guard['paragraph']} | {guard['rule']} | {scope} | {states} | {steps} |"
        if kind == "nets" and (len(case["without"]) > 1 or (without and not steps)):
            yield f"| {without} | {scope} | {case['result'].lower()} | {states} | {steps or ''} |"


def said(kind):
    """The rows that the page has."""
    text = (MODEL / "README.md").read_text()
    table = re.search(f"<!-- {kind} -->\n.*?\n\\|---.*?\n(.*)<!-- /{kind} -->", text, re.DOTALL)[1]
    return table.splitlines()


def test_it_holds_and_breaks_without_any_rule(quick):
    """With all its rules the protocol holds; each rule, taken away alone or with its net, lets somebody in."""
    assert [case["case"] for case in quick["cases"] if not case["as_expected"]] == []
    needed = {guard for case in quick["cases"] if case["result"] == "BREAKS" for guard in case["without"]}
    assert {guard["name"] for guard in quick["guards"]} == needed


def test_a_broken_rule_is_an_error(checker):
    """The program ends with an error where the model breaks, where a goal is never met, and where nothing ran."""
    outcome = run("--scope", "1 node", "--without", "commit-before-list")
    assert outcome.returncode == 1
    assert outcome.stdout.splitlines()[-1].endswith("-> ACCEPTED")
    assert run("--scope", "1 node").returncode == 0
    nothing_to_page = run("--scope", "pages")
    assert (nothing_to_page.returncode, "never met" in nothing_to_page.stdout) == (1, True)
    assert run("--scope", "3 nodes").returncode == 2
    assert run("--case", "no such case").returncode == 1


def test_the_page_says_what_the_quick_run_found(quick):
    """Each rule is on the page with its run; the page has no run that is not there."""
    assert said("guards") == list(rows(quick, "guards"))
    assert [row for row in rows(quick, "base") if row not in said("base")] == []
    [trace] = (case["trace"] for case in quick["cases"] if case["without"] == ["commit-before-list"])
    in_words = "".join(f"    {number:2}  {step}\n" for number, step in enumerate(trace, 1))
    assert in_words in (MODEL / "README.md").read_text()


@pytest.mark.long
def test_everything_holds_and_is_on_the_page(checker, tmp_path):
    """The large scopes, too."""
    path = tmp_path / "results.json"
    outcome = run("--no-traces", "--json", path)
    assert outcome.returncode == 0, outcome.stdout
    results = json.loads(path.read_text())
    for kind in ("base", "guards", "nets"):
        assert said(kind) == list(rows(results, kind))


@pytest.mark.long
def test_no_number_is_cut_off(checker, quick, tmp_path):
    """Built so that a number too large for its field is an error, the program finds the same."""
    program = tmp_path / "verify"
    source = MODEL / "verify.cpp"
    subprocess.run([*COMPILER.split(), "-std=c++17", "-O2", "-DCHECKED", "-o", program, source], check=True)
    path = tmp_path / "results.json"
    outcome = subprocess.run([program, "--quick", "--no-traces", "--json", path], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stdout
    assert json.loads(path.read_text()) == quick
