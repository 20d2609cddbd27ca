"""
TLS in front of a server that has none of its own, as the Valkey of the wheel has not.

    with front(server.port) as tls:
        tls.port, tls.ca            # where to go, and the certificate to trust

The front runs in a thread of the test, and speaks to 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Front(NamedTuple):
    """Where to go, and the file of the certificate to trust."""

    port: int
    ca: Path


@contextlib.contextmanager
def front(port: int) -> Iterator[Front]:
    """Listen with TLS for the server that listens on *port* without."""
    with tempfile.TemporaryDirectory(prefix="coatcheck-tls-") as folder:
        make_certificates(Path(folder))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(folder) / "cert.pem", Path(folder) / "key.pem")
        loop = asyncio.new_event_loop()
        ends: set[asyncio.StreamWriter] = set()

        async def line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ends.add(writer)
            with contextlib.suppress(OSError, asyncio.CancelledError):
                away_reader, away_writer = await asyncio.open_connection("127.0.0.1", port)
                ends.add(away_writer)
                await asyncio.wait(
                    [loop.create_task(_copy(reader, away_writer)), loop.create_task(_copy(away_reader, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                away_writer.close()
            writer.close()

        async def end() -> None:
            server.close()
            await asyncio.sleep(0)  # who has just been taken begins
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in ends:
                writer.transport.abort()
            await asyncio.sleep(0)  # their sockets are closed in the next turn

        server = loop.run_until_complete(asyncio.start_server(line, "127.0.0.1", 0, ssl=context))
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield Front(server.sockets[0].getsockname()[1], Path(folder) / "cert.pem")
        finally:
            asyncio.run_coroutine_threadsafe(end(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()


def make_certificates(folder: Path) -> None:
    """Write ``cert.pem`` for 127.0.0.1, signed by itself, and its ``key.pem``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    (folder / "cert.pem").write_bytes(certificate)
    written = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*written))
