"""A process that ends between any two of its steps: others finish what it began, and nothing stays for ever."""

import asyncio
import contextlib
import re

import pytest
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

from coatcheck.errors import CoatcheckError
from coatcheck.stores._valkey_sweep import OPEN_S
from coatcheck.testing.store_contract import make_digest, make_family

pytestmark = pytest.mark.long

STAYS = re.compile(r"\{\w+\}:(meta|log|secrets|clients)|\{\w+\.[0-9a-f]{3}\}:(probe|g:.*)|\{\w+\}:probe", re.DOTALL)
"""What may stay: what home knows, and the numbers of subjects, which never go back."""

FAR = 100_000
TOKENS = ("a", "a2", "b", "b2", "c")


def everything(server, url):
    """Return all keys of a store."""
    prefix = re.search(r"prefix=(\w+)", url)[1]
    found = set()
    for node in server.primaries() if hasattr(server, "primaries") else [server]:
        with node.client() as client:
            client.connection_pool.connection_kwargs["decode_responses"] = False
            found |= set(client.scan_iter(match=f"{{{prefix}*", count=5000))
    return {key.decode("latin-1") for key in found}


async def prepare(store):
    """Two sessions of one subject with a family each, and one of nobody."""
    await sign_in(store, "a")
    await sign_in(store, "b")
    await sign_in(store, "c", sub=None)
    await store.add_family(make_family("fa", "a", owns_session=True))
    await store.add_family(make_family("fb", "b"))


async def seen(store):
    """Return what each token opens: in which version."""
    found = {}
    for name in TOKENS:
        record = await store.load(make_digest(name))
        found[name] = getattr(getattr(record, "session", None), "version", None)
    return found


async def crashes(url_of, prepared, call):
    """
    Have a process end before each of the steps of a call in turn.

    Yields:
        Each time: the URL, another process, and what was seen before.
    """
    for step in range(100):
        url = url_of()
        async with opened(url) as (dying, gates), opened(url) as (store, _):
            await prepared(store)
            before = await seen(store)
            gate = gates.before("", skip=step)
            calling, reaching = asyncio.create_task(call(dying)), asyncio.create_task(gate.reached())
            await asyncio.wait([calling, reaching], return_when=asyncio.FIRST_COMPLETED)
            is_over = calling.done()
            reaching.cancel()
            gates.crash()
            with contextlib.suppress(CoatcheckError):
                await calling
            yield step, url, store, before
        if is_over:
            return
    raise AssertionError("it never ends")


CALLS = {
    "sign in": lambda store: sign_in(store, "n"),
    "sign in, and one is too many": lambda store: sign_in(store, "n", most=2),
    "renew": renew,
    "renew for a subject": lambda store: renew(store, "c", sub="eve"),
    "end": end,
    "end one of nobody": lambda store: end(store, "c"),
    "end a subject": end_subject,
    "end a client": end_client,
    "end everyone": end_everyone,
    "change claims": lambda store: claim(store, roles=[]),
    "change data": lambda store: put(store, x=1),
    "add a family": lambda store: store.add_family(make_family("fn", "a", client_id="other")),
    "reset keys": lambda store: store.reset_keys(stamp=STAMP),
}


@pytest.mark.parametrize("name", CALLS)
async def test_what_a_crash_leaves_half_done_is_finished_by_a_sweep_and_then_goes(server, name):
    """Whatever is otherwise than before is named in the log; when all is over, no key is left that could go."""
    async for step, url, store, before in crashes(server.url, prepare, CALLS[name]):
        assert await store.sweep(now=OPEN_S + 1, limit=100) == 0, step
        after, lines = await seen(store), await named(store)
        changed = {token[0] for token in TOKENS if before[token] != after[token]}
        assert changed <= {*lines, *("abc" if None in lines else "")}, step
        await end_subject(store, "eve")
        assert not await is_live(store, "c2")
        await sweep_all(store, FAR)
        assert [key for key in everything(server, url) if not STAYS.fullmatch(key)] == [], step
        assert await seen(store) == dict.fromkeys(TOKENS), step


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("what", [end_subject, end_everyone])
async def test_who_ends_all_of_them_after_a_crash_names_all_that_is_not_in_the_log(server, name, what):
    """What the dead one ended, and had not said yet, is in the log before this returns."""
    async for step, _, store, before in crashes(server.url, prepare, CALLS[name]):
        position = await what(store)
        lines = [change.sid for change in (await store.tail(0)).changes if change.position <= position]
        assert {"a", "b"} <= set(lines) or None in lines, step
        if what is end_everyone:
            assert {token: version for token, version in (await seen(store)).items() if version} == {}
        assert not await is_live(store, "a") and not await is_live(store, "a2") and not await is_live(store, "b")
        assert await sids_of(store) == [], step
        assert before["a"] == 1


@pytest.mark.parametrize("name", ["end a subject", "end a client", "change claims", "end", "reset keys"])
async def test_calling_again_after_a_crash_does_all_of_it(server, name):
    """The second time is as good as the first would have been."""
    async for step, _, store, _ in crashes(server.url, prepare, CALLS[name]):
        position = await CALLS[name](store)
        position = getattr(position, "position", position)
        lines = {change.sid for change in (await store.tail(0)).changes if change.position <= position}
        a, b = await store.load_sid("a"), await store.load_sid("b")
        assert name == "reset keys" or {"a", "b"} - {"b" if name == "end" else ""} <= lines, step
        if name.startswith("end"):
            assert a is None, step
            assert (b is None) is (name == "end a subject"), step
            assert name != "end a client" or b.session.version > 1, step
        if name == "change claims":
            assert a.session.claims == b.session.claims == {"roles": []}, step
        if name in ("end a client", "reset keys"):
            for family in ("fa", "fb"):
                assert await store.family(make_digest(family)[:16]) is None


async def over(store):
    """Much that is over, of every kind."""
    await prepare(store)
    await renew(store)
    await end(store, "b")
    await sign_in(store, "d", sub="eve")


async def test_a_sweep_that_breaks_off_leaves_nothing_that_the_next_one_does_not_find(server):
    """What led to a session goes before the last trace of it."""
    async for step, url, store, _ in crashes(server.url, over, lambda dying: dying.sweep(now=FAR, limit=100)):
        await sweep_all(store, FAR)
        assert [key for key in everything(server, url) if not STAYS.fullmatch(key)] == [], step
