"""The tools' pure modules, called in Node."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node():
    """The path of Node."""
    path = shutil.which("node")
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Node on this machine, and CI=true")
        pytest.skip("no Node on this machine: the modules are tried in the browser only (tests/browser/tools)")
    return path


@pytest.fixture(scope="session")
def call(node):
    """Calls a function of a module below ``pages/``: ``call("shared/base64.mjs", "decode", text)``; bytes are bytes."""

    def to_json(value):
        return {"hex": bytes(value).hex()}

    def whole(digits):
        # JavaScript writes a large number with the fewest digits that mean it, which is not the integer that it is.
        return int(digits) if len(digits) < 16 else float(digits)

    def from_json(found):
        return bytes.fromhex(found["hex"]) if set(found) == {"hex"} else found

    with subprocess.Popen(
        [node, "--no-warnings", HERE / "modules.mjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def do(module, name, *args):
            line = json.dumps({"module": module, "name": name, "args": args}, default=to_json)
            process.stdin.write(line + "\n")
            process.stdin.flush()
            said = json.loads(process.stdout.readline(), object_hook=from_json, parse_int=whole)
            assert "threw" not in said, said["threw"]
            return said["value"]

        yield do
        process.stdin.close()
