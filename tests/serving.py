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

import pytest

ROOT = Path(__file__).parent.parent
START_S = 30


@contextlib.contextmanager
def started(folder, *, store=None, database=None, secret=None):
    """
    Start ``coatcheck serve`` on a free port, with its files in *folder*; stop it as Ctrl-C does.

    What it said after it had started is in ``said`` then.

    Args:
        store: Where its sessions are, database: its accounts; in one file in *folder*, if this is left out.

        secret: A file with one, if it is not to make one.
    """
    file = f"sqlite:///{folder}/coatcheck.db"
    settings = {"COATCHECK_STORE": store or file, "COATCHECK_DATABASE": database or file}
    if secret is not None:
        settings["COATCHECK_SECRET_FILE"] = str(secret)
    command = ["serve", "--port", "0", "--metrics-port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "coatcheck.cli", *command],
        cwd=folder,
        env=os.environ | settings | {"PYTHONPATH": str(ROOT / "src")},
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
            url = re.search(r"Listening on (http://localhost:\d+)", said)[1]
            server = SimpleNamespace(url=url, code=code and code[1], folder=folder, pid=process.pid, said="")
            yield server
            process.send_signal(signal.SIGINT)
            server.said = process.stdout.read()
            assert process.wait(START_S) == 0
            assert "Traceback" not in server.said
        finally:
            alarm.cancel()
            process.kill()
