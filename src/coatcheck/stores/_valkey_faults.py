"""
What becomes of the errors of Valkey and of its driver. Floor 2; may import: floor 0.

What goes wrong with a call is one of these, and nothing else leaves the layer below the wire:

- :class:`NotDone`: nothing was executed. It is tried again until the call's time is over.
- :class:`Lost`: it was sent, and nobody knows what became of it.
- :class:`Refused`: the server must not be used as it is. While a store opens that is :class:`StoreUnusable`.
- :class:`StoreUnavailable`: no second try helps soon.

Rules of this module:

1. The server's own text stays behind: it can quote what was being written, and where. Only its first word, which names
   the error, and the name of a command that a user may not run are shown.
2. Every text names a remedy where there is one.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any

from redis import exceptions as driver

from coatcheck.errors import StoreUnavailable

_COMMAND = re.compile(r"run the '([a-z|]{1,40})' command")
_FIRST_LOOK = ("MOVED", "ASK")


class Fault(Exception):
    """
    Something that went wrong, in words for people.

    Attributes:
        said: The words, without a value or a password in them.
    """

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.said = said


class NotDone(Fault):
    """
    Nothing was executed.

    Attributes:
        code: What the server called it; empty where it was not the server who said so.

        target: For MOVED and ASK: who has the slot.

        look: Whether the servers may be others by now.
    """

    def __init__(self, said: str, *, code: str = "", target: tuple[str, int] | None = None, look: bool = True) -> None:
        super().__init__(said)
        self.code = code
        self.target = target
        self.look = look

    @property
    def is_redirection(self) -> bool:
        """Whether the server named another one: no need to wait before asking that."""
        return self.code in _FIRST_LOOK


class Lost(Fault):
    """Sent, and not answered."""


class Refused(Fault):
    """A server that must not be used as it is."""


_NOT_DONE = {
    "MOVED": "the servers of the cluster changed again and again",
    "ASK": "a slot of the cluster was being moved for too long",
    "TRYAGAIN": "a slot of the cluster was being moved for too long",
    "CLUSTERDOWN": "the cluster is down; look at: valkey-cli --cluster check",
    "LOADING": "the server is loading its data",
    "MASTERDOWN": "the server is a replica that lost its primary",
    "READONLY": "the server is a replica",
    "NOREPLICAS": "the primary has too few replicas; start them, or lower min-replicas-to-write",
    "NOSCRIPT": "the server forgot a script again and again",
}
_SAID = {
    "OOM": "the server is out of memory; raise maxmemory, or give the cluster more servers",
    "MISCONF": "the server cannot write to its disk; look at its log, and at the space on its disk",
    "UNBLOCKED": "the server became a replica before the change was known to be on disk",
    "NOAUTH": "the server wants a password; write it into the URL",
    "WRONGPASS": "the server does not accept the user or the password in the URL",
    "NOPERM": "the user lacks a right",
    "BUSY": "the server is busy with a script; look for who runs it",
    "CROSSSLOT": "keys of a script are in different slots",
}
_OTHERS = ("WRONGTYPE", "EXECABORT", "NOTBUSY", "NOPROTO", "NOGOODSLAVE", "INPROG", "IOERR")
_UNKNOWN_OUTCOME = ("UNBLOCKED",)
_LASTING = ("NOAUTH", "WRONGPASS", "NOPERM")
# The driver's classes say the code where its texts do not.
_CLASSES: tuple[tuple[type[Exception], str], ...] = (
    (driver.MovedError, "MOVED"),
    (driver.AskError, "ASK"),
    (driver.TryAgainError, "TRYAGAIN"),
    (driver.MasterDownError, "MASTERDOWN"),
    (driver.ClusterDownError, "CLUSTERDOWN"),
    (driver.BusyLoadingError, "LOADING"),
    (driver.ReadOnlyError, "READONLY"),
    (driver.NoScriptError, "NOSCRIPT"),
    (driver.OutOfMemoryError, "OOM"),
    (driver.NoPermissionError, "NOPERM"),
    (driver.ClusterCrossSlotError, "CROSSSLOT"),
    (driver.AuthenticationWrongNumberOfArgsError, "WRONGPASS"),
    (driver.AuthenticationError, "WRONGPASS"),
)
NO_AOF = "the server keeps no log of its writes; run CONFIG SET appendonly yes, and write it into its configuration"


def code_of(error: BaseException) -> str:
    """Return the word that the server put first; empty where it was not the server who spoke."""
    for kind, code in _CLASSES:
        if isinstance(error, kind):
            return "NOAUTH" if code == "WRONGPASS" and "required" in str(error) else code
    if not isinstance(error, driver.ResponseError):
        return ""
    word = str(error).partition(" ")[0]  # without ERR, which the driver takes away
    return word if word in _NOT_DONE or word in _SAID or word in _OTHERS else "ERR"


def of_reply(error: BaseException) -> Exception:
    """Return what an error that the server answered means for the call."""
    code = code_of(error)
    if code in _NOT_DONE:
        target = (error.host, int(error.port)) if isinstance(error, driver.AskError) else None
        look = code not in ("TRYAGAIN", "LOADING", "NOSCRIPT", "ASK")
        return NotDone(_NOT_DONE[code], code=code, target=target, look=look)
    if code in _UNKNOWN_OUTCOME:
        return Lost(_SAID[code])
    if code in _LASTING:
        return Refused(_said_of(error, code))
    return StoreUnavailable(f"Valkey: {_said_of(error, code)}")


def of_sync(error: BaseException) -> Exception:
    """Return what it means that the server answered so when it was asked whether a change is on disk."""
    code = code_of(error)
    if code == "ERR" and "appendonly is disabled" in str(error):
        return StoreUnavailable(f"Valkey: {NO_AOF}")
    if code == "ERR" and "replica instances" in str(error):
        return Lost(_SAID["UNBLOCKED"])
    return Lost(_NOT_DONE[code]) if code in _NOT_DONE else of_reply(error)


def _said_of(error: BaseException, code: str) -> str:
    if code == "NOPERM":
        named = _COMMAND.search(str(error))
        missing = (
            f": it may not run {named[1].upper()}" if named else ", perhaps for the keys or channels of the prefix"
        )
        return f"{_SAID[code]}{missing}; look at: ACL SETUSER"
    if code == "ERR" and "unknown command" in str(error).lower():
        return "the server does not know a command that is needed; look at its version, and at rename-command"
    return _SAID.get(code, f"error {code}; look at the log of the server")


def of_connecting(error: BaseException) -> Fault:
    """Return what it means that no connection was made: nothing was sent."""
    code = code_of(error)
    if code == "ERR" and "DB index" in str(error):
        return Refused("there is no such database; name another in the URL, or raise databases")
    if code:
        fault = of_reply(error)
        return fault if isinstance(fault, NotDone | Refused) else NotDone(_said_of(error, code))
    beneath = _beneath(error)
    for kind, text in _REFUSED:
        if isinstance(beneath, kind):
            return Refused(text)
    return NotDone(_said_by_the_driver(beneath))


def of_losing(error: BaseException) -> Lost:
    """Return what it means that the connection was lost after something was sent."""
    return Lost(_said_by_the_driver(_beneath(error)))


def _beneath(error: BaseException) -> BaseException:
    """Return the error of the system that the driver has put into one of its own."""
    while isinstance(error, driver.RedisError) and (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _said_by_the_driver(error: BaseException) -> str:
    if "max number of clients" in str(error):
        return "the server has no connection left; raise maxclients"
    return next((text for kind, text in _OF_THE_DRIVER if isinstance(error, kind)), type(error).__name__)


# What no second try mends.
_REFUSED: tuple[tuple[Any, str], ...] = (
    (ssl.SSLCertVerificationError, "the certificate of the server is not accepted; look at tls_ca, and at the host"),
    (FileNotFoundError, "there is no such socket, or no such file of TLS (socket, tls_ca, tls_cert, tls_key)"),
    (PermissionError, "the socket or a file of TLS may not be read"),
)
_MAYBE_TLS = "the connection was lost; look at whether the server wants TLS (valkeys://)"
_OF_THE_DRIVER: tuple[tuple[Any, str], ...] = (
    (socket.gaierror, "the name of the host is not known"),
    (ssl.SSLError, "TLS failed; look at whether the server speaks it at this port"),
    (ConnectionRefusedError, "nobody listens at this host and port"),
    (TimeoutError, "no answer in time"),
    (driver.TimeoutError, "no answer in time"),
    (ConnectionResetError, _MAYBE_TLS),
    (OSError, "the connection was lost, or cannot be made; look at host and port"),
    (driver.ConnectionError, _MAYBE_TLS),
    (ValueError, "the host or the port cannot be used"),
)
DRIVERS = (driver.RedisError, OSError, EOFError, ValueError)
"""What the driver raises that is not an answer."""
