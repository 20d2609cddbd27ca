"""When a session is over, what it is at its beginning and what a renewal makes of it."""

import pytest
from msgspec.structs import replace

from coatcheck import Device, InvalidInput, Policy, Session
from coatcheck.decide.begin import new_session, renewed
from coatcheck.decide.lifetime import ends_at, idle_s, judge, lifetimes

POLICY = Policy(idle_s=100, absolute_s=1000)


def session(**fields):
    return Session(**({"sid": "s", "created_at": 0, "seen_at": 0, "expires_at": 1000, "idle_s": 100} | fields))


@pytest.mark.parametrize(
    ("fields", "now", "reason"),
    [
        ({}, 0, None),
        ({}, 99, None),
        ({}, 100, "idle"),
        ({"seen_at": 900}, 999, None),
        ({"seen_at": 900}, 1000, "expired"),
        ({"seen_at": 950}, 999, None),
        ({"idle_s": 50}, 49, None),
        ({"idle_s": 50}, 50, "idle"),
        ({"idle_s": 500}, 99, None),
        ({"idle_s": 500}, 100, "idle"),
        ({"expires_at": 60}, 59, None),
        ({"expires_at": 60}, 60, "expired"),
        ({"expires_at": 5000, "seen_at": 950}, 999, None),
        ({"expires_at": 5000, "seen_at": 950}, 1000, "expired"),
        ({"created_at": 400, "expires_at": 5000, "seen_at": 1390}, 1399, None),
        ({"created_at": 400, "expires_at": 5000, "seen_at": 1390}, 1400, "expired"),
        ({"seen_at": 0}, 5000, "expired"),
    ],
)
def test_each_limit_takes_effect_exactly_at_its_second(fields, now, reason):
    """The stricter of session and policy holds; the last second lives, the next one is over."""
    assert judge(session(**fields), now=now, policy=POLICY) == reason


def test_the_parts():
    """The absolute end and the idle time, each the stricter of the two."""
    assert [ends_at(session(expires_at=end), POLICY) for end in (10, 1000, 9999)] == [10, 1000, 1000]
    assert [idle_s(session(idle_s=idle), POLICY) for idle in (10, 100, 999)] == [10, 100, 100]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((None, None), (100, 1000)),
        ((50, None), (50, 1000)),
        ((500, None), (100, 1000)),
        ((None, 500), (100, 500)),
        ((None, 60), (60, 60)),
        ((None, 9999), (100, 1000)),
        ((80, 60), (60, 60)),
        ((1, 1), (1, 1)),
    ],
)
def test_no_lifetime_is_above_the_policy(asked, expected):
    """More than the policy allows is cut; idle is never longer than absolute."""
    assert lifetimes(POLICY, idle_s=asked[0], absolute_s=asked[1]) == expected


def test_a_session_begins():
    """Every field as it is at the first moment."""
    device = Device(ip="10.0.0.7", user_agent="Firefox")
    begun = new_session("s", "maria", now=7, policy=POLICY, claims={"a": [1]}, amr=["pwd"], device=device, idle_s=50)
    assert begun == Session(
        sid="s", sub="maria", claims={"a": [1]}, amr=("pwd",), created_at=7, auth_time=7, seen_at=7, expires_at=1007,
        idle_s=50, persistent=True, device=device, version=1,
    )  # fmt: skip


def test_a_session_without_a_subject_has_no_auth_time():
    """Nobody has proved anything yet."""
    assert new_session("s", None, now=7, policy=POLICY).auth_time is None


def renew(before, now=50, **changes):
    return renewed(
        before, now=now, policy=POLICY, **({"sub": None, "claims": None, "amr": None, "device": None} | changes)
    )


def test_what_is_not_given_stays():
    """A renewal alone changes the version and the activity, nothing else."""
    before = session(sub="maria", claims={"a": 1}, amr=("pwd",), auth_time=3, device=Device(ip="::1"))
    assert renew(before) == replace(before, version=2, seen_at=50)


@pytest.mark.parametrize(
    ("changes", "auth_time"),
    [({}, 3), ({"claims": {}}, 3), ({"device": Device()}, 3), ({"sub": "maria"}, 50), ({"amr": ("otp",)}, 50),
     ({"amr": ()}, 50)],
)  # fmt: skip
def test_auth_time_is_when_somebody_proved_who_they_are(changes, auth_time):
    """Only *sub* or *amr* says so; the absolute end moves for neither."""
    after = renew(session(sub="maria", auth_time=3, expires_at=700), **changes)
    assert (after.auth_time, after.expires_at, after.created_at) == (auth_time, 700, 0)


def test_a_sign_in_of_a_started_session_begins_its_lifetime_anew():
    """From there on the session is somebody's, with the policy's whole lifetime."""
    before = session(idle_s=5, expires_at=60)
    after = renew(before, sub="maria", claims={"a": 1}, amr=("pwd",))
    assert (after.sub, after.created_at, after.auth_time) == ("maria", 50, 50)
    assert (after.expires_at, after.idle_s, after.sid, after.version) == (1050, 100, "s", 2)


def test_activity_never_moves_back():
    """A renewal at an earlier second than the last activity leaves that as it is."""
    assert renew(session(sub="maria", seen_at=80)).seen_at == 80


def test_another_subjects_session_is_not_renewed():
    """Its data would fall into somebody else's hands."""
    with pytest.raises(InvalidInput) as refused:
        renew(session(sub="maria"), sub="eve")
    assert refused.value.field == "sub"
