"""What the errors of servers and of the driver mean for a call."""

import socket
import ssl

import pytest
from redis import exceptions as driver
from redis._parsers.base import BaseParser
from tests.servers import valkey
from tests.valkey.wires import opened, put

from coatcheck.errors import StoreUnavailable
from coatcheck.stores._valkey_faults import Lost, NotDone, Refused, of_connecting, of_losing, of_reply, of_sync

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("MOVED 3999 10.0.0.1:6381", NotDone, "changed again"),
        ("ASK 3999 10.0.0.1:6381", NotDone, "being moved"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", NotDone, "being moved"),
        ("CLUSTERDOWN The cluster is down", NotDone, "the cluster is down"),
        ("LOADING Redis is loading the dataset in memory", NotDone, "loading"),
        ("MASTERDOWN Link with MASTER is down", NotDone, "lost its primary"),
        ("READONLY You can't write against a read only replica.", NotDone, "is a replica"),
        ("NOREPLICAS Not enough good replicas to write.", NotDone, "too few replicas"),
        ("NOSCRIPT No matching script. Please use EVAL.", NotDone, "forgot a script"),
        ("UNBLOCKED force unblock from blocking operation", Lost, "became a replica"),
        ("OOM command not allowed when used memory > 'maxmemory'.", StoreUnavailable, "raise maxmemory"),
        ("MISCONF Errors writing to the AOF file: No space left", StoreUnavailable, "cannot write to its disk"),
        ("BUSY Valkey is busy running a script.", StoreUnavailable, "busy with a script"),
        ("CROSSSLOT Keys in request don't hash to the same slot", StoreUnavailable, "different slots"),
        (f"WRONGTYPE {SECRET}", StoreUnavailable, "error WRONGTYPE"),
        (f"ERR {SECRET}", StoreUnavailable, "error ERR"),
        (f"{SECRET} is no number", StoreUnavailable, "error ERR"),
        (f"SECRET {SECRET}", StoreUnavailable, "error ERR"),
        (f"ERR unknown command 'WAITAOF', with args beginning with: '{SECRET}'", StoreUnavailable, "does not know"),
        ("NOPERM User eva has no permissions to run the 'config|get' command", Refused, "may not run CONFIG|GET"),
        (f"NOPERM No permissions to access a key {SECRET}", Refused, "keys or channels"),
        ("NOAUTH Authentication required.", Refused, "wants a password"),
        ("WRONGPASS invalid username-password pair or user is disabled.", Refused, "does not accept the user"),
    ],
)
def test_what_a_server_answers(text, kind, said):
    """What was not executed, what nobody knows, what no second try mends; and nothing of its text."""
    fault = of_reply(BaseParser.parse_error(text))
    assert isinstance(fault, kind)
    assert said in str(fault) and SECRET not in str(fault)


def test_where_to_go():
    """A server that names another says where that is; a name of a host may have colons."""
    moved = of_reply(BaseParser.parse_error("MOVED 3999 fe80::1:6381"))
    assert (moved.target, moved.code) == (("fe80::1", 6381), "MOVED")
    assert of_reply(BaseParser.parse_error("ASK 1 h:1")).target == ("h", 1)


@pytest.mark.parametrize(
    "text",
    [
        "READONLY x",
        "LOADING x",
        "UNBLOCKED x",
        "CLUSTERDOWN x",
        "ERR WAITAOF cannot be used with replica instances. Please also note …",
    ],
)
def test_what_is_not_known_to_be_on_disk(text):
    """It was executed already, so it is not tried again as if it had not been."""
    assert isinstance(of_sync(BaseParser.parse_error(text)), Lost)


def within(outer, inner):
    """An error as the driver raises it: what the system said is beneath."""
    outer.__context__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (within(driver.ConnectionError("x"), ConnectionRefusedError(111, "x")), NotDone, "nobody listens"),
        (within(driver.ConnectionError("x"), socket.gaierror(-2, "x")), NotDone, "name of the host"),
        (within(driver.ConnectionError("x"), ssl.SSLCertVerificationError("x")), Refused, "certificate"),
        (within(driver.ConnectionError("x"), ssl.SSLError("x")), NotDone, "TLS failed"),
        (within(driver.ConnectionError("x"), FileNotFoundError(2, "x")), Refused, "no such socket"),
        (within(driver.ConnectionError("x"), OSError(113, "x")), NotDone, "cannot be made"),
        (driver.ConnectionError("Connection closed by server."), NotDone, "wants TLS"),
        (driver.ConnectionError("max number of clients reached"), NotDone, "raise maxclients"),
        (driver.TimeoutError("x"), NotDone, "no answer in time"),
        (driver.AuthenticationError("invalid username-password pair"), Refused, "password"),
        (driver.BusyLoadingError("x"), NotDone, "loading"),
        (driver.ResponseError(SECRET), NotDone, "error ERR"),
        (driver.ResponseError("DB index is out of range"), Refused, "no such database"),
        (ValueError("embedded null byte"), NotDone, "cannot be used"),
    ],
)
def test_no_connection(error, kind, said):
    """Nothing was sent, whatever it was; what no second try mends is told apart."""
    fault = of_connecting(error)
    assert isinstance(fault, kind) and said in fault.said and SECRET not in fault.said


def test_a_connection_that_was_lost():
    """Whatever was sent may have been executed."""
    assert isinstance(of_losing(driver.ConnectionError("Connection closed by server.")), Lost)
    assert of_losing(ConnectionResetError(104, "x")).said.startswith("the connection was lost")


async def test_a_primary_that_wants_more_replicas_than_it_has():
    """It executes nothing, so the call waits for them as long as its time lasts."""
    server = valkey.start(min_replicas_to_write="1")
    try:
        async with opened(server.url()) as wire:
            with pytest.raises(StoreUnavailable, match="too few replicas"):
                await put(wire, "v", wait_s=1)
            server.config(min_replicas_to_write="0")
            assert await put(wire, "v") == b"v"
    finally:
        server.close()
