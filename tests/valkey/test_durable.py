"""What counts as done in Valkey: what is on the disks that were asked for, and nothing else."""

import asyncio

import pytest
from tests.servers import valkey
from tests.valkey.calls import STAMP, claim, end, end_everyone, end_subject, is_live, named, put, renew, sign_in
from tests.valkey.gates import opened

from coatcheck.errors import StoreUnavailable
from coatcheck.stores import _valkey_calls
from coatcheck.testing.store_contract import make_digest, make_family, make_key

pytestmark = pytest.mark.long


@pytest.fixture
def pair():
    made = valkey.replicated(1)
    yield made
    made.close()


CALLS = {
    "sign in": lambda store: sign_in(store, "n"),
    "end": lambda store: end(store, "e"),
    "end a subject": lambda store: end_subject(store, "eve"),
    "renew": lambda store: renew(store, "r"),
    "claims": lambda store: claim(store, roles=[]),
    "data": lambda store: put(store, "d", x=1),
    "key": lambda store: store.add_key(make_key("k", 7), newest="none", stamp=STAMP),
    "family": lambda store: store.add_family(make_family("f", "d")),
    "rotate": lambda store: store.rotate_family(make_digest("g")[:16], generation=1, now=9),
    "join": lambda store: store.join("n2", label=""),
    "beat": lambda store: store.beat("n1", beat=2, applied=0, epoch=1),
    "end a client": lambda store: store.end_client("none", note="", stamp=STAMP),
    "drop a key": lambda store: store.drop_key("k", stamp=STAMP),
    "reset": lambda store: store.reset_keys(stamp=STAMP),
    "everyone": end_everyone,
}
REFUSES_WITHOUT_A_WRITE = {"key"}


async def test_nothing_is_done_while_a_replica_is_away(pair, monkeypatch):
    """Each write says so in bounded time, a heartbeat too; all can be done again when the replica is back."""
    monkeypatch.setattr(_valkey_calls, "WAIT_S", 1.0)
    async with opened(pair.url()) as (store, _):
        for name in ("r", "d"):
            await sign_in(store, name)
        await sign_in(store, "e", sub="eve")
        await store.add_family(make_family("g", "d"))
        await store.join("n1", label="")
        pair.replicas[0].pause()
        began = asyncio.get_running_loop().time()
        for name, call in CALLS.items():
            if name not in REFUSES_WITHOUT_A_WRITE:
                with pytest.raises(StoreUnavailable):
                    await call(store)
        assert asyncio.get_running_loop().time() - began < 2 * len(CALLS) * _valkey_calls.WAIT_S
        pair.replicas[0].go_on()
        assert await store.beat("n1", beat=3, applied=0, epoch=1) is not None
        assert await end_subject(store, "eve") and "e" in await named(store)
        await claim(store, roles=[1])
        assert not await is_live(store, "e")


async def test_a_lease_is_not_prolonged_by_what_only_the_primary_heard(pair, monkeypatch):
    """The heartbeat that only the primary has written answers nothing."""
    async with opened(pair.url(lease_s="0.5")) as (store, _):
        await store.join("n1", label="")
        pair.replicas[0].pause()
        with pytest.raises(StoreUnavailable):
            await store.beat("n1", beat=1, applied=0, epoch=1)
        pair.replicas[0].go_on()
        assert await store.beat("n1", beat=2, applied=0, epoch=1) is not None
