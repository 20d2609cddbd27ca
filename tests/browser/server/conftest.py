"""The ready-made server as a real process, started by its own command."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent.parent
START_S = 30
PASSWORD = "correct horse battery"


@contextlib.contextmanager
def started(folder):
    """Start ``coatcheck serve`` on a free port, with its files in *folder*; stop it as Ctrl-C does."""
    file = f"sqlite:///{folder}/coatcheck.db"
    command = ["serve", "--port", "0", "--metrics-port", "0", "--store", file, "--database", file]
    process = subprocess.Popen(
        [sys.executable, "-m", "coatcheck.cli", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # A process that never says where it listens must not hold up the tests for ever.
    alarm = threading.Timer(START_S, process.kill)
    alarm.start()
    with process:
        try:
            said = ""
            for line in process.stdout:
                said += line
                if "Listening on" in line:
                    break
            else:
                pytest.fail(f"the server did not start:\n{said}")
            alarm.cancel()
            code = re.search(r"^ +([0-9a-f]{8}(?:-[0-9a-f]{8}){3})$", said, re.MULTILINE)
            yield SimpleNamespace(
                url=re.search(r"Listening on (http://localhost:\d+)", said)[1], code=code and code[1], folder=folder
            )
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(START_S) == 0
            assert "Traceback" not in rest
        finally:
            alarm.cancel()
            process.kill()


@pytest.fixture
def fresh_server(tmp_path):
    """A server that nobody has set up."""
    with started(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def running_server(tmp_path_factory):
    """A server whose first administrator is Root; ``add(name)`` adds people, all with the same password."""
    with started(tmp_path_factory.mktemp("server")) as server:
        headers = {"origin": server.url}

        def ask(path, **body):
            answer = httpx.post(server.url + path, json=body, headers=headers)
            assert answer.is_success, answer.text
            return answer

        entered = ask("/api/set-up", code=server.code, username="Root", password=PASSWORD)
        # By hand: a cookie jar other than a browser's sends no Secure cookie to http://localhost.
        cookies = entered.headers.get_list("set-cookie")
        headers["cookie"] = "; ".join(text.partition(";")[0] for text in cookies)
        server.add = lambda name, admin=False: ask("/api/users", username=name, password=PASSWORD, admin=admin).json()
        yield server


@pytest.fixture
def server(running_server, profile):
    """The server that is set up, with ``enter``: somebody signs in, in a profile of their own."""

    def enter(name, **kwargs):
        page = profile(**kwargs).new_page()
        sign_in(page, running_server.url, name)
        page.wait_for_url(f"{running_server.url}/")
        return page

    return SimpleNamespace(url=running_server.url, add=running_server.add, enter=enter)


def sign_in(page, url, name, password=PASSWORD):
    """Fill in the form, and send it."""
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture(scope="session")
def axe():
    """The source of axe-core, from npm."""
    path = ROOT / "tests" / "node" / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("axe-core is not installed (make test does it where there is npm), and CI=true")
        pytest.skip("axe-core is not installed, there is no npm here: accessibility was not looked at")
    return path.read_text()
