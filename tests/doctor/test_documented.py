"""The page of the doctor keeps up with its checks."""

from pathlib import Path

import pytest

from coatcheck.cli.doctor.ours import OURS
from coatcheck.cli.doctor.site import SITE

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("check", [*SITE, *OURS], ids=lambda check: check.id)
def test_every_check_is_documented(check):
    """With its level, its requirement and its reason."""
    page = (ROOT / "docs" / "how-to" / "doctor.md").read_text()
    assert f"| `{check.id}` | {check.level} | {check.asvs} | {check.why} |" in page


def test_no_two_checks_have_one_name():
    """Nor is a check documented that there is not."""
    page = (ROOT / "docs" / "how-to" / "doctor.md").read_text()
    names = [check.id for check in (*SITE, *OURS)]
    assert len(set(names)) == len(names) == page.count("\n| `")


def test_the_number_in_the_changes():
    """Is that of the checks."""
    assert f"by GET alone: {len(SITE)} checks" in (ROOT / "CHANGELOG.md").read_text()
