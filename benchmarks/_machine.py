"""What it was measured on: named in every file of results, so that nobody compares two machines by mistake."""

import importlib.metadata
import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent


def describe(stores):
    """Return the machine, the day, and the versions that all of it stands on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "node": _said("node", "--version"),
        "uvicorn": importlib.metadata.version("uvicorn"),
        "loop": _first("uvloop", "asyncio"),
        "http": _first("httptools", "h11"),
        "postgresql": stores.postgres.psql("SHOW server_version").split()[-1],
        "valkey": stores.valkey.info("server").get("valkey_version", ""),
        "day": datetime.now(UTC).date().isoformat(),
    }


def versions(contestant):
    """Return package -> version."""
    found = {name: importlib.metadata.version(name) for name in contestant.packages}
    if contestant.module.endswith(".mjs") and contestant.variant != "bare":
        locked = json.loads((HERE / "peers" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        found |= {name: locked[f"node_modules/{name}"]["version"] for name in ("better-auth", "pg")}
    return found


def _processor():
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _first(name, otherwise):
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return otherwise


def _said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
