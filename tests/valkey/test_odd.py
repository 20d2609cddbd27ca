"""Odd names, much data, many sessions, and neighbours on one server."""

import asyncio

import pytest
from tests.servers import valkey
from tests.valkey.calls import (
    STAMP,
    claim,
    end,
    end_client,
    end_everyone,
    end_subject,
    is_live,
    named,
    put,
    renew,
    sids_of,
    sign_in,
    sweep_all,
)
from tests.valkey.gates import opened
from tests.valkey.test_crash import FAR, STAYS, everything

from coatcheck.testing.store_contract import make_digest, make_family
from coatcheck.values import decode

pytestmark = pytest.mark.long

ODD = [
    "",
    " ",
    "{a}",
    "}:s:",
    "{",
    "}{",
    ":",
    "a:b",
    "1:2:3",
    "s",
    "a b\nc\r\n",
    "%00",
    "\x01",
    "𝄞" * 255,
    "é" * 255,
    "None",
]


async def test_odd_names_are_names(server, url):
    """Whatever is in the names of sessions, subjects and clients: they are found, ended, and leave nothing behind."""
    async with opened(url) as (store, _):
        for name in ODD:
            await sign_in(store, name, sub=name)
            assert await store.add_family(make_family(name, name, client_id=name))
        for name in ODD:
            assert await sids_of(store, name) == [name]
            assert (await store.family(make_digest(name)[:16])).client_id == name
            await claim(store, name, roles=[name[:99]])
            await put(store, name, x=name[:99])
            record = await store.load(make_digest(name))
            assert record.session.claims == {"roles": [name[:99]]} and decode(record.data) == {"x": name[:99]}
            assert record.session.sub == record.session.sid == name
            await renew(store, name, sub=name, version=3)
            assert await is_live(store, name + "2")
            assert await end(store, name, of=name + "!") is None
            await end_client(store, name)
            assert await store.family(make_digest(name)[:16]) is None
        for name in ODD[::2]:
            assert await end(store, name, of=name)
        for name in ODD[1::2]:
            await end_subject(store, name)
        for name in ODD:
            assert not await is_live(store, name + "2") and await sids_of(store, name) == []
        assert {name or None for name in ODD} <= set(await named(store))
        await sweep_all(store, FAR)
        assert [key for key in everything(server, url) if not STAYS.fullmatch(key)] == []


async def test_a_megabyte_of_data_is_kept(url):
    """And changed by two at once."""
    async with opened(url) as (one, _), opened(url) as (two, _):
        await sign_in(one)

        def change(store, key):
            return store.change_data("a", {key: "x" * 500_000}, [], limit=2**20, stamp=STAMP)

        await asyncio.gather(change(one, "p"), change(two, "q"))
        assert {key: len(value) for key, value in decode((await one.load_sid("a")).data).items()} == {
            "p": 500_000,
            "q": 500_000,
        }
        await renew(two)
        assert len((await one.load(make_digest("a2"))).data) > 1_000_000


@pytest.mark.long
@pytest.mark.parametrize("count", [10_000])
async def test_ten_thousand_sessions_of_one_subject_end_at_once(url, count):
    """None is forgotten, and nobody is told that too many are waiting."""
    async with opened(url) as (store, _):
        names = [f"s{n}" for n in range(count)]
        for at in range(0, count, 1000):
            await asyncio.gather(*(sign_in(store, name, most=count + 1) for name in names[at : at + 1000]))
        await claim(store, roles=[])
        assert len(await store.load_subject("maria")) == count
        position = await end_subject(store)
        assert await sids_of(store) == []
        found, after = set(), 0
        while after < position:
            tail = await store.tail(after)
            found |= {change.sid for change in tail.changes if change.version > 2**52}
            after = tail.changes[-1].position
        assert found == set(names)


async def test_stores_with_different_prefixes_do_not_see_each_other(server):
    """Not where one prefix is the beginning of another, either."""
    prefix = server.url().partition("prefix=")[2].partition("&")[0]
    urls = [server.url(prefix=one) for one in (prefix, prefix + "0", prefix + "-")]
    async with opened(urls[0]) as (one, _), opened(urls[1]) as (two, _), opened(urls[2]) as (three, _):
        for store in (one, two, three):
            await sign_in(store)
            await store.join("n", label="")
        await end_everyone(one)
        await end_subject(two)
        assert [await is_live(store) for store in (one, two, three)] == [False, False, True]
        assert [(await store.tail(0)).head for store in (one, two, three)] == [1, 1, 0]
        await one.leave("n")
        assert [len((await store.nodes()).rows) for store in (one, two, three)] == [0, 1, 1]
        await sweep_all(two, FAR)
        assert await is_live(three)


def test_servers_are_there():
    """The shared ones: whoever runs this file alone learns at once that there are none."""
    valkey.need()
