"""
How a connection to Valkey is made. Floor 2; may import: floor 0.

Rules of this module:

1. Never a replica. What it answers may be old.
2. Whoever connects looks first whether this server may be used at all: it may have been promoted, or started anew with
   another configuration. What it would lose, nobody may be told to have been kept.
3. Every script is loaded before the connection is used.
4. The driver tries nothing again by itself, and reconnects never: a :class:`Link` that is lost is thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, TypeAlias, TypeVar

from redis.asyncio import connection as driver
from redis.exceptions import ResponseError

from coatcheck.secret import Secret
from coatcheck.stores._valkey_faults import DRIVERS, Fault, NotDone, Refused, code_of, of_connecting
from coatcheck.stores._valkey_refuse import Checked, check
from coatcheck.stores._valkey_url import Host, Settings

T = TypeVar("T")
log = logging.getLogger("coatcheck")

CONNECT_S = 2.0
"""How long making a connection may take, all of it."""

IDLE_MOST_S = 240.0
"""How long a connection may rest and be used again. Some networks forget such connections, and tell nobody."""

_GOODBYE_S = 1.0
_PROBES: tuple[tuple[Any, ...], ...] = (("WAITAOF", 0, 0, 1), ("EVALSHA", "0" * 40, 0))
"""Commands that change nothing, whose refusal tells what the user may not do."""

Word: TypeAlias = bytes | str | int | float


class Script:
    """
    A script of the store.

    Attributes:
        name: For people. text: what is loaded. sha: what it is called by.
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"Script({self.name!r})"


class Link:
    """
    One connection.

    Attributes:
        checked: What the server said of itself. idle_since: when it was last used, by the clock of the event loop.
    """

    __slots__ = ("_driver", "checked", "idle_since")

    def __init__(self, connection: Any) -> None:
        self._driver = connection
        self.checked = Checked()
        self.idle_since = 0.0

    def is_usable(self, now: float) -> bool:
        """Say whether it is connected, as far as one can tell without asking, and has not rested for too long."""
        reader, writer = self._driver._reader, self._driver._writer  # noqa: SLF001  nothing public tells it
        return (
            reader is not None
            and not reader.at_eof()
            and reader.exception() is None
            and not writer.is_closing()
            and now - self.idle_since < IDLE_MOST_S
        )

    async def connect(self) -> None:
        """Connect, and say who we are."""
        await self._driver.connect()
        self.idle_since = asyncio.get_running_loop().time()

    async def send(self, packed: Sequence[bytes]) -> None:
        """Send commands."""
        if not self._driver.is_connected:
            raise ConnectionError  # the driver would connect anew, and nobody would look at the server
        await self._driver.send_packed_command(packed, check_health=False)

    async def read(self) -> Any:
        """Return the next answer, also where it is an error; raise where there is none."""
        try:
            return await self._driver.read_response(disconnect_on_error=False)
        except DRIVERS as error:
            if code_of(error):
                return error
            raise

    async def ask(self, *commands: Sequence[Word]) -> list[Any]:
        """Send all *commands*, and return all answers, errors among them."""
        await self.send(self._driver.pack_commands(commands))
        return [await self.read() for _ in commands]

    def terminate(self) -> None:
        """Let go of it at once."""
        writer = self._driver._writer  # noqa: SLF001  the driver's own way waits
        self._driver._reader = self._driver._writer = None  # noqa: SLF001
        if writer is not None:
            writer.transport.abort()

    async def close(self) -> None:
        """Say goodbye, for a second at most."""
        writer = self._driver._writer  # noqa: SLF001
        if writer is not None:
            with contextlib.suppress(OSError, TimeoutError):
                writer.close()
                async with asyncio.timeout(_GOODBYE_S):
                    await writer.wait_closed()
        self.terminate()


class Connector:
    """
    Makes connections of one store.

    Attributes:
        is_slow_to_sync: Whether a server syncs its log once a second only, so that each change waits for that.
    """

    def __init__(self, settings: Settings, scripts: Sequence[Script]) -> None:
        self._settings = settings
        self._scripts = scripts
        self._tls: Any = None
        self.is_slow_to_sync = False

    async def connect(self, host: Host, *, is_probing: bool = False) -> Link:
        """
        Return a connection to a primary that may be used.

        Args:
            is_probing: Look besides whether the user may do what is needed.

        Raises:
            NotDone: There is none now. Refused: the server must not be used as it is.
        """
        settings = self._settings
        link = Link(self._driver(host, settings.user, settings.password, settings.database))
        await _bounded(link, self._make_ready(link, is_probing))
        return link

    async def ask(self, host: Host, user: str | None, password: Secret | None, *commands: Sequence[Word]) -> list[Any]:
        """
        Connect to whatever is there, a sentinel or a replica, ask, and let go.

        Raises:
            NotDone: It does not answer. Refused: it lets nobody in.
        """
        link = Link(self._driver(host, user, password, 0))
        try:
            return await _bounded(link, _asked(link, commands))
        finally:
            link.terminate()

    def _driver(self, host: Host, user: str | None, password: Secret | None, database: int) -> Any:
        settings = self._settings
        common: dict[str, Any] = {
            "db": database,
            "username": user,
            "password": None if password is None else password.reveal(),
            "protocol": 2,
            "socket_timeout": None,
            "socket_connect_timeout": CONNECT_S,
        }
        if settings.socket:
            return driver.UnixDomainSocketConnection(path=settings.socket, **common)
        common |= {"host": host[0], "port": host[1]}
        if not settings.tls:
            return driver.Connection(**common)
        made = driver.SSLConnection(
            ssl_ca_certs=settings.tls_ca,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            ssl_check_hostname=True,
            **common,
        )
        if self._tls is not None:
            made.ssl_context = self._tls  # reading the certificates takes longer than anything else here
        self._tls = made.ssl_context
        return made

    async def _make_ready(self, link: Link, is_probing: bool) -> None:
        await link.connect()
        in_cluster = self._settings.mode == "cluster"
        asked: list[Sequence[Word]] = [("INFO",), ("CONFIG", "GET", "appendfsync")]
        if in_cluster:
            asked.append(("CLUSTER", "MYSHARDID"))
        link.checked = check(await link.ask(*asked), in_cluster=in_cluster)
        if link.checked.is_slow_to_sync and not self.is_slow_to_sync:
            self.is_slow_to_sync = True
            log.warning(
                "Valkey runs with appendfsync everysec: each change waits for up to a second; recommended is always"
            )
        loads: list[Sequence[Word]] = [("SCRIPT", "LOAD", script.text) for script in self._scripts]
        for answer in await link.ask(*loads, *(_PROBES if is_probing else ())):
            if isinstance(answer, Exception) and code_of(answer) != "NOSCRIPT":
                raise _of_loading(answer)


def _of_loading(error: Exception) -> Fault:
    if isinstance(error, ResponseError) and code_of(error) == "ERR":
        # A script that cannot be compiled, or a server that does not know WAITAOF: it stays so.
        return Refused("the server does not know WAITAOF, or does not accept a script; use Valkey 8 or Redis 7.2")
    return of_connecting(error)


async def _asked(link: Link, commands: Sequence[Sequence[Word]]) -> list[Any]:
    await link.connect()
    return await link.ask(*commands)


async def _bounded(link: Link, work: Awaitable[T]) -> T:
    """Return what *work* on a new connection returns; where it fails, let go of the connection."""
    try:
        async with asyncio.timeout(CONNECT_S):
            return await work
    except TimeoutError:
        link.terminate()
        raise NotDone("no answer in time") from None
    except DRIVERS as error:
        link.terminate()
        raise of_connecting(error) from None
    except BaseException:
        link.terminate()
        raise
