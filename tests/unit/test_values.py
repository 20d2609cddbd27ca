"""JSON values: what goes in comes out equal, or is refused by name; shared values cannot be changed."""

import copy
import enum
import json
import math
import pickle
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coatcheck import InvalidInput
from coatcheck.values import (
    FrozenDict,
    FrozenList,
    checked,
    checked_keys,
    decode,
    decode_frozen,
    encode,
    fitted,
    frozen,
    merged,
)


def nested(levels):
    """A list within a list, so often."""
    value = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -(2**63), 2**63 - 1, 0.1, -0.0, 1e308, "", "é\u2028\0", "\U0001f9e5", [], {}, [[], {}],
     {"": {"": None}}, nested(31)],
)  # fmt: skip
def test_json_is_taken_and_comes_back_equal(value):
    """Text, 64-bit numbers, finite numbers, booleans, null, lists and objects, edges included."""
    ours = checked({"k": value}, field="set")
    assert ours == {"k": value}
    assert decode(fitted(ours, limit=10_000, field="set")) == {"k": value}


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, 10**400, b"bytes", bytearray(b"x"), {1}, 1j, Decimal(1),
     object(), "\ud800", "ok\udfff", nested(32), nested(5000), enum.IntEnum("E", "A").A, (x for x in ())],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_everything_else_is_refused_by_name(value):
    """Not JSON, too large or too deep: the key is named with what it stands in, and the value is not shown."""
    with pytest.raises(InvalidInput) as refused:
        checked({"fine": 1, "bad": value}, field="set")
    assert refused.value.field.startswith("set['bad']")
    assert str(refused.value).startswith("set['bad']")


def test_the_place_inside_is_named():
    """The path to what cannot be used is in the message."""
    with pytest.raises(InvalidInput) as refused:
        checked({"cart": [{"id": 1}, {"id": b"x"}]}, field="set")
    assert refused.value.field == "set['cart'][1]['id']"


@pytest.mark.parametrize("key", [1, None, b"k", ("a",), "\ud800", True])
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"in": value}, lambda value: {"in": [value]}])
def test_keys_are_text(key, wrap):
    """An object with another key than text is refused at any depth; JSON would change the key silently."""
    with pytest.raises(InvalidInput, match="key is not text"):
        checked(wrap({key: 1}), field="set")


def test_a_hostile_key_is_bounded_in_the_message():
    """A key of a megabyte does not become a message of a megabyte, and control characters are escaped."""
    with pytest.raises(InvalidInput) as refused:
        checked({"\n\x1b[31m" + "k" * 10**6: b""}, field="set")
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_a_circle_is_refused():
    """What contains itself is nested too deep, not an endless loop."""
    circle = {}
    circle["me"] = circle
    with pytest.raises(InvalidInput, match="nested"):
        checked(circle, field="set")


@pytest.mark.parametrize("value", [[("a", 1)], "text", 5, {"a"}])
def test_the_whole_must_be_a_mapping(value):
    """A list of pairs is not taken for an object."""
    with pytest.raises(InvalidInput) as refused:
        checked(value, field="claims")
    assert refused.value.field == "claims"


def test_checked_is_a_copy():
    """Later changes of the caller's object do not reach ours; tuples are lists, as JSON has it."""
    theirs = {"a": [1], "t": (1, 2)}
    ours = checked(theirs, field="set")
    theirs["a"].append(2)
    assert ours == {"a": [1], "t": [1, 2]}


@pytest.mark.parametrize(
    ("size", "limit", "fits"),
    [(9, 10, False), (2, 10, True), (3, 10, False), (0, 8, True), (0, 7, False)],
)
def test_fitted_counts_bytes(size, limit, fits):
    """The limit is the last size that is taken, counted in bytes of JSON."""
    value = {"k": "x" * size}  # {"k":""} is 8 bytes
    if fits:
        assert len(fitted(value, limit=limit, field="set")) == 8 + size
    else:
        with pytest.raises(InvalidInput, match=f"{8 + size} bytes of JSON, {limit} are allowed"):
            fitted(value, limit=limit, field="set")


def test_fitted_names_the_largest_key_and_counts_utf8():
    """Of many keys the one to blame is named; a letter of two bytes counts twice."""
    with pytest.raises(InvalidInput) as refused:
        fitted({"a": 1, "big": "é" * 10, "c": "x" * 15}, limit=30, field="set")
    assert refused.value.field == "set['big']"


@pytest.mark.parametrize(
    ("old", "change", "unset", "expected"),
    [
        ({}, {}, [], {}),
        ({"a": 1}, {"b": 2}, [], {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, [], {"a": 2}),
        ({"a": 1, "b": 2}, {}, ["a"], {"b": 2}),
        ({"a": 1}, {}, ["absent"], {"a": 1}),
        ({"a": 1}, {"a": 2}, ["a"], {"a": 2}),
        ({"a": {"x": 1}}, {"a": {"y": 2}}, [], {"a": {"y": 2}}),
    ],
)
def test_merged(old, change, unset, expected):
    """Keys of the change win, unset keys go, a key in both is set; nothing is merged inside a value."""
    before = copy.deepcopy(old)
    assert merged(old, change, unset) == expected
    assert old == before


@pytest.mark.parametrize("keys", ["cart", [1], [b"k"], [None]])
def test_unset_is_a_list_of_text(keys):
    """A single text would be read letter by letter, so it is refused."""
    with pytest.raises(InvalidInput) as refused:
        checked_keys(keys, field="unset")
    assert refused.value.field == "unset"


def set_item(value):
    value["a"] = 1


def del_item(value):
    del value["a"]


def or_update(value):
    value |= {"a": 1}


@pytest.mark.parametrize(
    "change",
    [set_item, del_item, or_update, lambda value: value.clear(),
     lambda value: value.pop("a"), lambda value: value.popitem(), lambda value: value.setdefault("new", 1),
     lambda value: value.setdefault("a", 1), lambda value: value.update(a=2), lambda value: value.update({"b": 1}),
     lambda value: value.update()],
)  # fmt: skip
def test_no_mutator_changes_a_frozen_dict(change):
    """Every way of changing a dict in place raises and changes nothing."""
    value = frozen({"a": 1})
    with pytest.raises(TypeError, match="read-only"):
        change(value)
    assert value == {"a": 1}


def set_slice(value):
    value[:] = []


def del_slice(value):
    del value[0]


def add_update(value):
    value += [1]


def mul_update(value):
    value *= 2


@pytest.mark.parametrize(
    "change",
    [set_slice, del_slice, add_update, mul_update, lambda value: value.append(1), lambda value: value.extend([]),
     lambda value: value.insert(0, 1), lambda value: value.pop(), lambda value: value.remove(3),
     lambda value: value.clear(), lambda value: value.sort(), lambda value: value.reverse()],
)  # fmt: skip
def test_no_mutator_changes_a_frozen_list(change):
    """Every way of changing a list in place raises and changes nothing."""
    value = frozen([3, 1])
    with pytest.raises(TypeError, match="read-only"):
        change(value)
    assert value == [3, 1]


@pytest.mark.parametrize("kind", [FrozenDict, FrozenList])
def test_no_mutator_was_forgotten(kind):
    """Whatever method dict or list has beyond the reading ones is overridden, in this Python too."""
    reading = {"get", "items", "keys", "values", "copy", "fromkeys", "count", "index", "__init__", "__new__"}
    plain = kind.__base__
    mine = {name for name in vars(plain) if name not in reading and name not in vars(kind)}
    suspects = {name for name in mine if not name.startswith("__")} | mine & {
        "__setitem__", "__delitem__", "__iadd__", "__imul__", "__ior__"
    }  # fmt: skip
    assert suspects == set()


def test_frozen_reaches_every_level():
    """Inner dicts and lists are read-only, too, and no attribute can be added."""
    value = decode_frozen(b'{"a":[{"b":[1]}]}')
    for inner in (value, value["a"], value["a"][0], value["a"][0]["b"]):
        assert isinstance(inner, FrozenDict | FrozenList)
        with pytest.raises(AttributeError):
            inner.extra = 1
    assert type(decode(b'{"a":[1]}')["a"]) is list


def test_frozen_values_are_equal_to_plain_ones_and_encode_like_them():
    """Equality, json.dumps, msgspec and str see no difference."""
    plain = {"roles": ["admin", {"x": [1, None]}], "n": 1.5}
    value = frozen(plain)
    assert value == plain
    assert plain == value
    assert json.dumps(value) == json.dumps(plain)
    assert msgspec.json.encode(value) == msgspec.json.encode(plain)
    assert msgspec.json.decode(encode(value)) == plain
    assert repr(value) == repr(plain)


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value)), lambda value: json.loads(json.dumps(value))],
)  # fmt: skip
def test_copies_are_plain_at_every_level(copied):
    """A copy is the reader's own: plain dicts and lists that can be changed."""
    value = copied(frozen({"a": [{"b": 1}]}))
    assert type(value) is dict
    value["a"].append(2)
    value["a"][0]["c"] = 3
    assert value == {"a": [{"b": 1, "c": 3}, 2]}


def test_a_shallow_copy_is_plain_outside():
    """copy.copy, dict() and list() give a plain container, whose inner values are still shared."""
    assert type(copy.copy(frozen({"a": []}))) is dict
    assert type(copy.copy(frozen([1]))) is list
    assert type(frozen({"a": 1}).copy()) is dict


def test_equal_values_give_equal_bytes():
    """The order of keys does not show, at any depth."""
    assert (
        encode({"b": 1, "a": {"d": 1, "c": 2}})
        == encode({"a": {"c": 2, "d": 1}, "b": 1})
        == (b'{"a":{"c":2,"d":1},"b":1}')
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_round_trip(value):
    """Any JSON object comes back equal and of the same types, plain or frozen."""
    raw = fitted(checked(value, field="set"), limit=10**6, field="set")
    assert decode(raw) == value
    assert decode_frozen(raw) == value
    assert json.dumps(decode(raw), sort_keys=True) == json.dumps(value, sort_keys=True)


@settings(deadline=None)
@given(st.dictionaries(st.text() | st.integers(), JSON | st.binary() | st.text() | st.complex_numbers(), max_size=4))
def test_taken_or_refused_never_anything_else(value):
    """Whatever is given, the answer is a copy that encodes, or InvalidInput that names the field."""
    try:
        raw = encode(checked(value, field="set"))
    except InvalidInput as refused:
        assert refused.field.startswith("set[")
    else:
        assert decode(raw) == value
