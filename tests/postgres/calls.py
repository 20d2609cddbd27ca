"""The calls of a store, with what tests do not care about filled in."""

from msgspec.structs import replace

from coatcheck.records import Kind
from coatcheck.testing.store_contract import make_digest, make_record, make_stamp

STAMP = make_stamp()
PATIENCE_S = 20


def end(store, sid="a"):
    return store.end(sid, of=None, kind=Kind.REVOKED, note="", stamp=STAMP)


def sign_in(store, name="a", **fields):
    return store.create(make_record(name, **fields), generation=None, most=9, stamp=STAMP)


def put(store, key, value=1):
    return store.change_data("a", {key: value}, [], limit=99, stamp=STAMP)


def renew(store):
    fresh = replace(make_record("a", version=2), digest=make_digest("a2"))
    return store.renew(make_digest("a"), fresh, generation=None, most=9, stamp=STAMP)
