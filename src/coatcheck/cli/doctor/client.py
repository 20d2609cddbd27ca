"""
Asks a site. Floor 6; may import: floor 0.

On h11, which comes with the web server: it reads HTTP and opens nothing. So where a connection goes, and for how long,
is decided here and nowhere else; a client that follows, retries, decompresses or looks for proxies would have to be
kept from it.

Rules of this module:

1. GET and HEAD, nothing else; no credentials, no cookies, no proxy from the environment.
2. One origin. A redirect is an answer like any other; who follows it asks :class:`Client` again, which knows no other
   host.
3. Time and size are bounded: of a head, of a body, of each question, and of all together.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType

import h11

from coatcheck.cli.doctor.address import Ip, Target, is_public
from coatcheck.cli.doctor.answer import Answer

HEAD_LONGEST = 64 * 1024
BODY_LONGEST = 1024 * 1024
EACH_S = 10.0
ALL_S = 45.0
MOST_QUESTIONS = 24
_CHUNK = 64 * 1024

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Unreachable(Exception):
    """Nobody answers, or not in HTTP; the text says what, in words for people."""


class Client:
    """
    Asks one origin.

    Args:
        connect: Ask there, whatever the name leads to.

    Attributes:
        distrust: Why the certificate is not accepted; None where it is, or where there is none. What a site says is
            read all the same: nothing is sent that could be stolen.
    """

    def __init__(self, target: Target, *, connect: Ip | None = None) -> None:
        self.target = target
        self.distrust: str | None = None
        self._connect = connect
        self._places: list[str] = []
        self._asked = 0
        self._tls = ssl.create_default_context() if target.scheme == "https" else None

    async def get(self, path: str, *, more: Mapping[str, str] = _NOTHING, method: str = "GET") -> Answer:
        """
        Ask for *path* of the origin.

        Args:
            more: Further header fields.

        Raises:
            Unreachable: No answer, or none that can be read.
        """
        if method not in ("GET", "HEAD"):
            raise ValueError(method)  # a fault of ours: the doctor changes nothing
        self._asked += 1
        if self._asked > MOST_QUESTIONS:
            raise Unreachable(f"more than {MOST_QUESTIONS} questions would be needed")
        try:
            async with asyncio.timeout(EACH_S):
                reader, writer = await self._opened()
                try:
                    return await self._exchange(reader, writer, path, more, method)
                finally:
                    writer.transport.abort()  # a goodbye could take as long as it likes
        except TimeoutError:
            raise Unreachable(f"no whole answer within {EACH_S:.0f} s") from None
        except h11.RemoteProtocolError:
            raise Unreachable("the answer is no HTTP/1.1, or its head is too long") from None
        except OSError as error:
            raise Unreachable(_said(error)) from None

    # --- where to ---

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._places = self._places or await self._looked_up()
        last: OSError | None = None
        for place in self._places:
            try:
                return await self._open(place)
            except ssl.SSLCertVerificationError as error:
                self.distrust = error.verify_message or "it is not accepted"
                self._tls = _trusting()
                return await self._open(place)
            except OSError as error:
                last = error
        raise last or OSError

    async def _open(self, place: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self.target.host if self._tls is not None else None
        return await asyncio.open_connection(place, self.target.port, ssl=self._tls, server_hostname=name)

    async def _looked_up(self) -> list[str]:
        typed = self._connect or self.target.ip
        if typed is not None:
            return [str(typed)]
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(self.target.host, self.target.port, type=socket.SOCK_STREAM)
        places = list(dict.fromkeys(str(row[4][0]) for row in found))
        if self.target.is_localhost:
            return places
        public = [place for place in places if is_public(_address(place))]
        if not public:
            raise Unreachable("its name leads to a private address; add --connect ADDRESS if that is meant")
        return public

    # --- what is said ---

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        path: str,
        more: Mapping[str, str],
        method: str,
    ) -> Answer:
        talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LONGEST)
        fields = {
            "Host": self.target.netloc,
            "User-Agent": f"coatcheck-doctor/{version('coatcheck')}",
            "Accept": "text/html, application/json, */*;q=0.5",
            "Accept-Encoding": "identity",
            "Connection": "close",
            **more,
        }
        writer.write(talk.send(h11.Request(method=method, target=path, headers=list(fields.items()))) or b"")
        writer.write(talk.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        head: h11.Response | None = None
        body, is_cut = bytearray(), False
        while True:
            event = talk.next_event()
            if event is h11.NEED_DATA:
                talk.receive_data(await reader.read(_CHUNK))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > BODY_LONGEST:
                    is_cut = True
                    break
            elif not isinstance(event, h11.InformationalResponse):
                break
        if head is None:
            raise Unreachable("the connection was closed without an answer")
        return Answer(
            what=f"{method} {path.partition('?')[0]}",  # a query may hold what is not to be shown
            path=path,
            status=head.status_code,
            fields=tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in head.headers),
            body=bytes(body[:BODY_LONGEST]),
            is_cut=is_cut,
        )


def _address(place: str) -> Ip:
    return ipaddress.ip_address(place.partition("%")[0])


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _said(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, ssl.SSLError):
        return "no TLS could be agreed on; does it speak https at this port?"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    return f"the connection failed ({type(error).__name__})"
