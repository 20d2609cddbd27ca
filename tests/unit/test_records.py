"""The nouns: immutable, without secrets, and a refusal is false."""

import msgspec
import pytest

from coatcheck import Device, InvalidInput, Reason, Refused, Secret, Session, SignedIn

REASONS = [
    "malformed", "unknown", "revoked", "renewed", "idle", "expired", "reused", "not_genuine", "wrong_client",
    "bad_signature", "unknown_key", "wrong_issuer", "wrong_audience", "wrong_type", "not_yet_valid", "unsure",
]  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_every_refusal_is_false(reason):
    """``if found:`` lets nobody in, whatever the reason; text and enum make the same refusal."""
    refused = Refused(reason)
    assert not refused
    assert refused == Refused(Reason(reason))
    assert hash(refused) == hash(Refused(Reason(reason)))
    assert refused.reason == reason
    assert isinstance(refused.reason, Reason)


def test_the_list_of_reasons_is_closed():
    """Exactly the documented ones; another is no refusal at all."""
    assert [reason.value for reason in Reason] == REASONS
    for wrong in ("", "Revoked", "banned", None, 5):
        with pytest.raises(ValueError, match="Reason"):
            Refused(wrong)


def test_refusals_for_different_reasons_differ():
    """A refusal is its reason, and nothing else equals it."""
    assert Refused("idle") != Refused("expired")
    assert Refused("idle") != "idle"
    assert Refused("idle") is not False


def test_a_session_is_true_and_frozen():
    """A session lets in, and cannot be changed."""
    session = Session(sid="s", created_at=0, seen_at=0, expires_at=1, idle_s=1)
    assert session
    with pytest.raises(AttributeError):
        session.sub = "eve"
    with pytest.raises(TypeError):
        session.claims["roles"] = ["admin"]


@pytest.mark.parametrize("record", [Refused("idle"), Device(), SignedIn(None, Secret("t"))])
def test_records_are_frozen(record):
    """No field can be set."""
    with pytest.raises(AttributeError):
        setattr(record, record.__struct_fields__[0], None)


def test_a_session_has_room_for_nothing_secret():
    """Its fields are the public ones, so that it can be logged and listed."""
    assert set(Session.__struct_fields__) == {
        "sid", "sub", "claims", "amr", "created_at", "auth_time", "seen_at", "expires_at", "idle_s", "persistent",
        "device", "version",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("user_agent", None, None),
        ("user_agent", "", ""),
        ("user_agent", "x" * 512, "x" * 512),
        ("user_agent", "x" * 513, "x" * 512),
        ("user_agent", "é" * 600, "é" * 512),
        ("user_agent", "<b>\x1b[31m\r\n", "<b>\x1b[31m\r\n"),
        ("user_agent", "a\ud800b", "a?b"),
        ("ip", "203.0.113.9", "203.0.113.9"),
        ("ip", "1" * 65, "1" * 64),
        ("ip", "\udcff", "?"),
    ],
)
def test_a_device_is_bounded(field, given, kept):
    """Hostile text is cut to size and can be stored; it is escaped where it is shown, not here."""
    device = Device(**{field: given})
    assert getattr(device, field) == kept
    assert msgspec.json.decode(msgspec.json.encode(device)) == {"ip": None, "user_agent": None, field: kept}


@pytest.mark.parametrize("value", [1, b"10.0.0.1", ["10.0.0.1"]])
@pytest.mark.parametrize("field", ["ip", "user_agent"])
def test_a_device_is_text(field, value):
    """Anything else is refused by name."""
    with pytest.raises(InvalidInput) as refused:
        Device(**{field: value})
    assert refused.value.field == f"device.{field}"
