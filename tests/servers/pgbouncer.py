"""A real PgBouncer in transaction mode before a test server."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from tests.servers.postgres import _USER_ENTRY, _as_nobody, _free_port

_PATIENCE_S = 20


def need():
    """Skip the test visibly where there is none; in CI that is a failure."""
    if shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PgBouncer is missing in CI")
        pytest.skip("PgBouncer is not on this machine (apt install pgbouncer): nothing was tested with it")


@contextlib.contextmanager
def before(server):
    """Run one that hands each transaction to another connection of *server*; give its port."""
    need()
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="coatcheck-pgbouncer-") as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\npostgres = host={server.folder} port={server.port} user=postgres\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            "auth_type = any\npool_mode = transaction\ndefault_pool_size = 10\nserver_round_robin = 1\n"
        )
        if _USER_ENTRY is not None:
            os.chown(folder, _USER_ENTRY.pw_uid, _USER_ENTRY.pw_gid)
            os.chown(settings, _USER_ENTRY.pw_uid, _USER_ENTRY.pw_gid)
        program = shutil.which("pgbouncer", path=os.environ["PATH"] + ":/usr/sbin")
        running = subprocess.Popen([program, "-q", str(settings)], **_as_nobody())
        try:
            _wait_for(port)
            yield port
        finally:
            running.terminate()
            running.wait()


def _wait_for(port):
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return
