"""The documentation keeps up with the code, or the build is red."""

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import coatcheck
from coatcheck import Coatcheck, CoatcheckError, CookiePolicy, CsrfPolicy, Policy, Reason, Receipt, Session, errors
from coatcheck.server.api import ENDPOINTS
from coatcheck.server.database.base import Event
from coatcheck.server.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"), *ROOT.glob("verification/*.md")]
)


def page(name):
    """The text of a page below docs."""
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("part", [Policy, CookiePolicy, CsrfPolicy])
def test_every_setting_is_documented(part):
    """Each field has a row on the policy page, and a sentence in its class."""
    text = page("reference/policy.md")
    for field in dataclasses.fields(part):
        assert f"`{field.name}`" in text
        assert re.search(rf"\b{field.name}: ", inspect.getdoc(part)), field.name


def test_every_refusal_is_documented():
    """Each reason that can be met stands on the errors page."""
    text = page("reference/errors.md")
    assert [reason.value for reason in Reason if f"`{reason.value}`" not in text] == []


def test_every_error_is_documented():
    """Each exception has its own stable code, and both stand on the errors page."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CoatcheckError)]
    text = page("reference/errors.md")
    assert [
        kind.__name__ for kind in kinds if f"| `{kind.__name__}` | `{kind.code}` | {kind.http_status}" not in text
    ] == []
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert [kind.__name__ for kind in kinds if kind.__name__ not in coatcheck.__all__] == []


def test_every_method_is_documented():
    """Each public method of the engine, and each field of what it returns, stands on the engine page."""
    text = page("reference/engine.md")
    hidden = {"open", "close", "derived_keys", "bound_token"}
    methods = [name for name in dir(Coatcheck) if not name.startswith("_") and name not in hidden]
    assert [name for name in methods if name not in text] == []
    fields = [*Session.__struct_fields__, *Receipt.__struct_fields__]
    assert [name for name in fields if f"`{name}`" not in text] == []


def test_every_public_name_says_what_it_is():
    """No public class, function or method is without a docstring."""
    for name in coatcheck.__all__:
        thing = getattr(coatcheck, name)
        if inspect.isclass(thing):
            assert inspect.getdoc(thing), name
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                assert method.startswith("_") or inspect.getdoc(function), f"{name}.{method}"


def test_everything_the_server_says_is_documented():
    """Each address, problem, event and option of the server stands on its page."""
    text = page("reference/server.md")
    assert [one.path for one in ENDPOINTS if f"| `{one.method} {one.path}` | {one.who} |" not in text] == []
    known = {problem.code: problem for one in ENDPOINTS for problem in one.all_problems()}
    assert [code for code, problem in known.items() if f"| `{code}` | {problem.status} |" not in text] == []
    assert [event.value for event in Event if f"`{event.value}`" not in text] == []
    assert [field.name for field in dataclasses.fields(Settings) if f"| `{field.name}` |" not in text] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    """A link inside the repository leads to a file that is there."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_version_is_one():
    """The package, its metadata and the changelog agree."""
    assert f'version = "{coatcheck.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert re.search(
        r"^## (Unreleased|" + re.escape(coatcheck.__version__) + r")", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_the_readme_names_the_two_commands():
    """A stranger finds `make serve` and `make test`, and the Makefile knows them."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    for target in ("serve", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_row_of_the_threat_model_names_a_test():
    """An attack without a test that exists is not stopped, as far as anybody can tell."""
    rows = [line for line in page("explanation/threat-model.md").splitlines() if re.match(r"\| (?!attack|---)", line)]
    assert len(rows) > 25
    for row in rows:
        name = re.search(r"`(tests/[^`]+)` \|$", row)
        assert name, row
        path, _, function = name[1].partition("::")
        assert (ROOT / path).exists(), row
        assert not function or f"def {function}(" in (ROOT / path).read_text(), row
