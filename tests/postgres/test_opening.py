"""Opening a PostgreSQL store: what it makes, what it refuses, and what it says."""

import asyncio
import os
import traceback
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.postgres.calls import STAMP, end, sign_in
from tests.postgres.gates import opened
from tests.servers import postgres

from coatcheck.errors import NotOpen, StoreUnavailable, StoreUnusable
from coatcheck.stores.postgres import PostgresStore, migrate
from coatcheck.testing.store_contract import make_digest, make_key


def make_certificate(name):
    """Return a certificate for 127.0.0.1 and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    return certificate.public_bytes(encoding).decode(), secret.decode()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        (lambda url: url.replace("pass-word%20of", "pass-word%20off"), StoreUnusable, "does not let this role in"),
        (lambda url: url.replace("postgres:", "nobody:"), StoreUnusable, "does not let this role in"),
        (lambda url: url.replace("/postgres?", "/nowhere?"), StoreUnusable, "no such database"),
        (lambda url: url.replace("127.0.0.1", "no-such-host.invalid"), StoreUnavailable, "name of the host"),
        (lambda url: url + "&sslmode=require", StoreUnavailable, "sslmode"),
        (lambda url: url + "&sslmode=nonsense", StoreUnusable, "option of the URL"),
        (lambda url: url + "&sslmode=verify-full&sslrootcert=/nowhere", StoreUnavailable, "certificate"),
        (
            lambda url: url.replace("@127.0.0.1", "@%2Fnowhere"),
            StoreUnavailable,
            "no such socket",
        ),
    ],
    ids=["password", "role", "database", "host", "tls", "sslmode", "certificate", "socket"],
)
async def test_a_url_that_leads_nowhere_says_why(server, change, kind, words):
    """The remedy is named; the password is not, neither here nor in what is printed of the error."""
    store = PostgresStore(change(server.url()))
    with pytest.raises(kind, match=words) as caught:
        await store.open()
    printed = "".join(traceback.format_exception(caught.value)) + repr(store)
    assert "pass-word" not in printed and "pass-word" not in str(caught.value)
    with pytest.raises(NotOpen):
        await store.load(make_digest("a"))


@pytest.mark.long
async def test_the_certificate_of_the_server_is_looked_at(tmp_path):
    """With verify-full a stranger's is refused; the right one opens an encrypted connection."""
    server = postgres.start("15")  # the wheel of 18 is built without TLS
    try:
        right, wrong = (make_certificate(name) for name in ("db", "stranger"))
        for name, (certificate, _) in (("right.pem", right), ("wrong.pem", wrong)):
            (tmp_path / name).write_text(certificate)
        server.put("server.crt", right[0])
        server.put("server.key", right[1])
        server.psql("ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf()")
        url = server.url() + f"&sslmode=verify-full&sslrootcert={tmp_path}"
        async with opened(f"{url}/right.pem") as (store, _):
            assert await store._read("SELECT 1 FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()")
        with pytest.raises(StoreUnavailable, match="certificate of the server is not accepted"):
            await PostgresStore(f"{url}/wrong.pem").open()
    finally:
        server.close()


async def test_nobody_listens(server):
    """A refused connection is told from a silent one."""
    free = postgres._free_port()
    with pytest.raises(StoreUnavailable, match="nobody listens"):
        await PostgresStore(server.url().replace(f":{server.port}/", f":{free}/")).open()


async def test_many_open_an_empty_database_at_once(url):
    """One makes the tables, the others find them."""
    stores = [PostgresStore(url) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await asyncio.gather(*(end(store, str(n)) for n, store in enumerate(stores)))
    assert (await stores[0].tail(0)).head == 8
    for store in stores:
        await store.close()
        await store.close()


async def test_other_versions_of_the_tables_are_refused(server, url):
    """A newer one is never touched, an older one only by ``coatcheck migrate``."""
    async with opened(url) as (store, _):
        schema = store._s
    server.psql(f"INSERT INTO {schema}.migrations VALUES (99, now())")
    with pytest.raises(StoreUnusable, match="upgrade Coatcheck"):
        await PostgresStore(url).open()
    with pytest.raises(StoreUnusable, match="upgrade Coatcheck"):
        await migrate(url)
    server.psql(f"DELETE FROM {schema}.migrations")
    server.psql(f"INSERT INTO {schema}.migrations VALUES (0, now())")
    with pytest.raises(StoreUnusable, match="holds tables of another program"):
        await PostgresStore(url).open()


async def test_a_role_without_rights_is_told(server):
    """Neither tables nor the right to make some: what to grant is said. With rights on rows alone it works."""
    url, role = server.url(socket=True), f"r{os.getpid()}"
    server.psql(f"CREATE ROLE {role} LOGIN")
    mine = url.replace("postgres@", f"{role}@", 1)
    with pytest.raises(StoreUnusable, match="may not make the tables"):
        await PostgresStore(mine).open()
    await migrate(url)
    schema = PostgresStore(url)._s
    with pytest.raises(StoreUnusable, match="lacks a right"):
        await PostgresStore(mine).open()
    server.psql(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    server.psql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}")
    async with opened(mine) as (store, _):
        await sign_in(store)
        await store.add_key(make_key("k"), newest=None, stamp=STAMP)
        assert await end(store) == 2
        await store.end_everyone(note="", stamp=STAMP)
        while await store.sweep(now=5000, limit=9):
            pass
