"""Start the door and the three services, each a process of its own; Ctrl-C stops them all."""

from __future__ import annotations

import subprocess
import sys

from examples.three_services.places import ISSUER, PORT

APPS = ("door:app", "services:orders", "services:stock", "services:mail")


def main() -> int:
    """Run until Ctrl-C, or until one of them ends."""
    command = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--port"]
    running = [
        subprocess.Popen([*command, str(PORT + number), f"examples.three_services.{app}"])  # noqa: S603  our own words
        for number, app in enumerate(APPS)
    ]
    print(f"The door is {ISSUER}/docs; the services listen on the next three ports. Ctrl-C stops them.", flush=True)
    try:
        return running[0].wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
