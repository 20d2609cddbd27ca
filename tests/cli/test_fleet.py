"""coatcheck fleet."""

import asyncio

import pytest

from coatcheck.cli import fleet
from coatcheck.records import Kind
from coatcheck.stores import from_url
from coatcheck.stores.base import Stamp

URL = "sqlite:///coatcheck.db"


async def _at_store(do):
    store = from_url(URL)
    await store.open()
    try:
        await do(store)
    finally:
        await store.close()


@pytest.fixture
def two_nodes(add):
    """A store with a node that is silent, and one that is not."""
    add("maria")

    async def join(store):
        await store.join("a" * 32, label="orders 1")
        await store.join("b" * 32, label="orders 2")
        await store.end("x", of=None, kind=Kind.REVOKED, note="", stamp=Stamp(now=0, forget_change=9, forget_token=9))
        await store.beat("a" * 32, beat=1, applied=1, epoch=1)

    asyncio.run(_at_store(join))


def test_nodes_are_shown_with_their_lag(cli, two_nodes, monkeypatch):
    """Who moved between the two looks is alive; how far each is behind is counted in changes."""
    looked = fleet.asyncio.sleep

    async def beat_meanwhile(seconds):
        await _at_store(lambda store: store.beat("a" * 32, beat=2, applied=1, epoch=1))
        await looked(0)

    monkeypatch.setattr(fleet.asyncio, "sleep", beat_meanwhile)
    found = cli("fleet", "--json").json
    assert found["head"] == 1 and found["lease_s"] == 2.0
    assert [(node["label"], node["lag"], node["state"]) for node in found["nodes"]] == [
        ("orders 1", 0, "alive"),
        ("orders 2", 1, "silent"),
    ]
    assert "orders 2" in cli("fleet", "--wait", "0").out


def test_nobody_answers_behind_a_network(cli, add):
    """With SQLite and no feed there is nobody to show, and that is said."""
    add("maria")
    assert cli("fleet", "--json").json["nodes"] == []
    assert "No process" in cli("fleet").out


def test_a_label_cannot_write_on_the_terminal(cli, add):
    """Whoever names a node does not steer the terminal of who looks."""
    add("maria")
    asyncio.run(_at_store(lambda store: store.join("a" * 32, label="\x1b[2Jgone")))
    assert "\x1b" not in cli("fleet", "--wait", "0").out
