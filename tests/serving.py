"""Programs of ours as real processes: the server by its own command, and whatever else says where it listens."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
START_S = 30


@contextlib.contextmanager
def running(module, *arguments, folder, env=None):
    """
    Run ``python -m module`` in *folder* until it says where it listens; stop it as Ctrl-C does.

    Gives ``url``, ``folder`` and ``pid``, what it said until then as ``greeting``, and afterwards the rest as ``said``.

    Args:
        env: What it finds in its environment beside ours.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=os.environ | (env or {}) | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # A process that never says where it listens must not hold up the tests for ever.
    alarm = threading.Timer(START_S, process.kill)
    alarm.start()
    with process:
        try:
            greeting = ""
            for line in process.stdout:
                greeting += line
                if "Listening on" in line:
                    break
            else:
                pytest.fail(f"{module} did not start:\n{greeting}")
            alarm.cancel()
            url = re.search(r"Listening on (http://localhost:\d+) ", greeting)[1]
            program = SimpleNamespace(url=url, folder=folder, pid=process.pid, greeting=greeting, said="")
            yield program
            process.send_signal(signal.SIGINT)
            program.said = process.stdout.read()
            assert process.wait(START_S) == 0
            assert "Traceback" not in program.said
        finally:
            alarm.cancel()
            process.kill()


@contextlib.contextmanager
def started(folder, *, store=None, database=None, secret=None):
    """
    Run ``coatcheck serve`` on a free port, with its files in *folder*: see :func:`running`. ``code`` is the set-up's.

    Args:
        store: Where its sessions are, database: its accounts; in one file in *folder*, if this is left out.

        secret: A file with one, if it is not to make one.
    """
    file = f"sqlite:///{folder}/coatcheck.db"
    env = {"COATCHECK_STORE": store or file, "COATCHECK_DATABASE": database or file}
    if secret is not None:
        env["COATCHECK_SECRET_FILE"] = str(secret)
    with running("coatcheck.cli", "serve", "--port", "0", "--metrics-port", "0", folder=folder, env=env) as server:
        code = re.search(r"^ +([0-9a-f]{8}(?:-[0-9a-f]{8}){3})$", server.greeting, re.MULTILINE)
        server.code = code and code[1]
        yield server
