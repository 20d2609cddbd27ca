"""
Django's own tests of session engines over ours, and our own of Django's adapter, under each Django that is promised.

Source and packages are fetched when the tests run, into a folder beside the virtual environment, and kept there.
"""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from tests.serving import ROOT

VERSIONS = {"4.2": (3, 8), "5.2": (3, 10), "6.0": (3, 12)}  # and the oldest Python of each
CACHE = Path(sys.prefix) / ".django"

pytestmark = pytest.mark.long


@pytest.fixture(params=VERSIONS)
def version(request):
    """A version that this Python can run."""
    if sys.version_info[:2] < VERSIONS[request.param]:
        pytest.skip(f"Django {request.param} needs Python {'.'.join(map(str, VERSIONS[request.param]))}")
    return request.param


def fetch(into, *arguments):
    """Have pip fetch something, once."""
    done = into / "done"
    if not done.exists():
        into.mkdir(parents=True, exist_ok=True)
        got = subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True)
        if got.returncode and not os.environ.get("CI"):
            pytest.skip("Django cannot be fetched: there is no package index to be reached from here")
        assert got.returncode == 0, got.stderr
        done.touch()
    return into


@pytest.fixture
def packages(version):
    """A folder with that Django, to be put before ours."""
    into = CACHE / f"{version}-packages"
    return fetch(into, "install", "--target", str(into), f"django~={version}.0")


@pytest.fixture
def source(version):
    """Django's folder of tests."""
    into = CACHE / f"{version}-source"
    fetch(into, "download", "--no-deps", "--no-binary", "django", "--dest", str(into), f"django~={version}.0")
    (archive,) = into.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        top = opened.getnames()[0].partition("/")[0]
        if not (into / top).exists():
            wanted = [one for one in opened.getmembers() if one.name.startswith(f"{top}/tests/sessions_tests/")]
            opened.extractall(into, wanted, filter="data")
    return into / top / "tests"


def environment(packages):
    """What a Python finds that is to use that Django."""
    path = os.pathsep.join(str(one) for one in (packages, ROOT / "src", ROOT))
    return os.environ | {"PYTHONPATH": path}


def test_djangos_own_tests(source, packages, version, tmp_path):
    """All of its mixin passes, but for what is listed there with its reason."""
    command = [sys.executable, ROOT / "tests/adapters/djangos_own.py", source, f"sqlite:///{tmp_path}/coatcheck.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(packages))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.pop("django").startswith(version)
    assert found.pop("run") > 30
    assert found == {"failed": {}, "needless exceptions": []}


def test_our_own_tests(packages, version):
    """The story over HTTP, and what Django adds to it."""
    names = ["tests/adapters/test_django.py", "tests/adapters/test_story.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", "-m", "not long"]
    done = subprocess.run(
        [*command, "-k", "django or Django", *names], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env=environment(packages) | {"DJANGO_IS": version},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-9000:]
