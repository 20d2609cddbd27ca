"""The calls of a store, with what tests do not care about filled in."""

from msgspec.structs import replace

from coatcheck.records import Kind, Record
from coatcheck.testing.store_contract import make_digest, make_record, make_stamp

STAMP = make_stamp()


def sign_in(store, name="a", *, most=9, generation=None, place=None, **fields):
    return store.create(make_record(name, **fields), generation=generation, most=most, stamp=STAMP, place=place)


def end(store, sid="a", *, of=None):
    return store.end(sid, of=of, kind=Kind.REVOKED, note="", stamp=STAMP)


def end_subject(store, sub="maria", *, keep=None):
    return store.end_subject(sub, keep=keep, note="", stamp=STAMP)


def end_everyone(store):
    return store.end_everyone(note="", stamp=STAMP)


def end_client(store, client="cli"):
    return store.end_client(client, note="", stamp=STAMP)


def claim(store, sub="maria", unset=(), **claims):
    return store.change_claims(sub, claims, unset, limit=999, stamp=STAMP)


def put(store, sid="a", **data):
    return store.change_data(sid, data, [], limit=999, stamp=STAMP)


def renew(store, name="a", *, most=9, generation=None, version=2, **fields):
    """Go on under the token *name*2."""
    fresh = replace(make_record(name, version=version, **fields), digest=make_digest(name + "2"))
    return store.renew(make_digest(name), fresh, generation=generation, most=most, stamp=STAMP)


async def is_live(store, name="a"):
    return isinstance(await store.load(make_digest(name)), Record)


async def sids_of(store, sub="maria"):
    return sorted(session.sid for session in await store.load_subject(sub))


async def named(store, after=0):
    """Return which sessions the log names, as often as it does."""
    return [change.sid for change in (await store.tail(after)).changes]


async def sweep_all(store, now):
    """Sweep until nothing is left to do."""
    while await store.sweep(now=now, limit=100):
        pass
