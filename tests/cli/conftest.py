"""The command, run in this process as its entry point runs it, with cheap passwords."""

import asyncio
import dataclasses
import io
import json
import os
import subprocess
import sys

import pytest
from argon2 import PasswordHasher

from coatcheck import Coatcheck, Device
from coatcheck.cli import main, opened
from coatcheck.server.database import from_url
from coatcheck.server.passwords import Passwords

URL = "sqlite:///coatcheck.db"
PASSWORD = "a long passphrase 9"


@dataclasses.dataclass
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The document on stdout."""
        return json.loads(self.out)

    @property
    def error(self):
        """The error on stderr."""
        (line,) = self.err.splitlines()
        return json.loads(line)["error"]


class Typed(io.TextIOWrapper):
    """What stdin is, with a person at it or without."""

    def __init__(self, text, *, is_tty):
        super().__init__(io.BytesIO(text if isinstance(text, bytes) else text.encode()), "utf-8")
        self._is_tty = is_tty

    def isatty(self):
        """Say whether somebody can be asked."""
        return self._is_tty


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty folder to work in, no setting of this machine, and passwords that cost nothing."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("COATCHECK_")]:
        monkeypatch.delenv(name)
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(opened, "make_passwords", lambda: Passwords(hasher))
    return tmp_path


@pytest.fixture
def cli(monkeypatch, capsys):
    """Run the command; no password it is given is ever in its output."""

    def run(*args, stdin="", is_tty=False):
        monkeypatch.setattr(sys, "stdin", Typed(stdin, is_tty=is_tty))
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        assert PASSWORD not in out + err
        assert "Traceback" not in err
        assert not code or err.count("\n") == 1 or is_tty
        return Ran(code, out, err)

    return run


@pytest.fixture
def add(cli):
    """Add accounts."""

    def run(*names, admin=False, password=PASSWORD):
        for name in names:
            ran = cli("users", "add", name, *["--admin"] * admin, "--password-stdin", stdin=password + "\n")
            assert ran.code == 0, ran.err

    return run


@pytest.fixture
def sign_in():
    """Begin a session of somebody; return it with its token."""

    async def begin(name, agent, ip):
        database = from_url(URL)
        await database.open()
        try:
            user = await database.user_named(name)
            async with Coatcheck(URL) as auth:
                signed_in = await auth.sign_in(user.id, device=Device(ip=ip, user_agent=agent))
                return signed_in.session, signed_in.token.reveal()
        finally:
            await database.close()

    return lambda name, agent="Firefox", ip="192.0.2.1": asyncio.run(begin(name, agent, ip))


@pytest.fixture
def check():
    """Say how an engine that has just been opened answers a token."""

    async def ask(token):
        async with Coatcheck(URL) as auth:
            return await auth.check(token)

    return lambda token: asyncio.run(ask(token))


@pytest.fixture
def with_database():
    """Call something with the open database."""

    async def call(work):
        database = from_url(URL)
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return lambda work: asyncio.run(call(work))


@pytest.fixture
def program(place):
    """Run the command as a program of its own."""

    def run(*args, stdin=b"", env=None, **more):
        return subprocess.run(
            [sys.executable, "-m", "coatcheck.cli", *args],
            input=stdin,
            capture_output=True,
            env={**os.environ, **(env or {})},
            timeout=60,
            **more,
        )

    return run
