"""The judge of the soak: it finds what is planted, and nothing else."""

import pytest

from soak.checker import check, contested
from soak.history import Op

SIGN_IN = Op(kind="sign_in", begin=10, end=20, sid="s", sub="maria", token="t", claims="born", version=1)
MINT = Op(kind="mint", begin=22, end=24, sid="s", sub="maria", token="t", version=1, jwt="j", since=21)
ISSUE = Op(kind="issue_refresh", begin=22, end=24, sid="s", version=1, since=21, fresh="r1", jwt="j1")


def look(begin, end, **fields):
    """A check of the planted session, accepted from memory unless said otherwise."""
    common = {"sid": "s", "token": "t", "claims": "born", "process": "1.1", "warm": True}
    if fields.get("outcome") == "refused":
        common = {"token": "t", "process": "1.1", "reason": "revoked"}
    return Op(kind="check", begin=begin, end=end, **{**common, **fields})


def refused(begin, end, **fields):
    return look(begin, end, outcome="refused", **fields)


def verify(begin, end, **fields):
    """A verification of the planted access token."""
    common = {"sid": "s", "token": "j", "version": 1, "process": "1.1"}
    return Op(kind="verify", begin=begin, end=end, **{**common, **fields})


def op(kind, begin, end, **fields):
    return Op(kind=kind, begin=begin, end=end, **{"sid": "s", "sub": "maria", **fields})


def rules(*ops, **settings):
    """The rules that the judge finds broken."""
    return [finding.rule for finding in check(ops, **{"lease_s": 0, **settings})]


ENDS = {
    "revoke": {"kind": "revoke", "sid": "s"},
    "renew": {"kind": "renew", "sid": "s", "sub": "maria", "token": "t", "fresh": "t2", "version": 2},
    "revoke_user": {"kind": "revoke_user", "sub": "maria"},
    "revoke_everyone": {"kind": "revoke_everyone"},
    "theft": {"kind": "refresh", "sid": "s", "token": "r0", "outcome": "refused", "reason": "reused"},
}
WHOLE = [name for name in ENDS if name != "renew"]


def ended(name, begin=30, end=40, **fields):
    return Op(begin=begin, end=end, **{**ENDS[name], **fields})


# --- stale ---


@pytest.mark.parametrize("end", ENDS)
def test_a_stale_acceptance_is_found(end):
    """A check that began after an end returned, and was accepted, is a fault; one that began before is not."""
    assert rules(SIGN_IN, ended(end), look(41, 42)) == ["stale"]
    assert rules(SIGN_IN, ended(end), look(39, 60)) == []
    assert rules(SIGN_IN, ended(end), refused(41, 42)) == []


@pytest.mark.parametrize("end", ENDS)
def test_a_stale_access_token_is_found(end):
    """Verifying and minting are acceptances, too."""
    assert rules(SIGN_IN, MINT, ended(end), verify(41, 42)) == ["stale"]
    assert rules(SIGN_IN, MINT, ended(end), verify(39, 42)) == []
    assert rules(SIGN_IN, MINT, ended(end), verify(41, 42, outcome="refused", reason="revoked")) == []
    late = op("mint", 41, 42, token="t", version=1, jwt="j2", since=25)
    assert rules(SIGN_IN, ended(end), late) == ["stale"]
    assert rules(SIGN_IN, ended(end, begin=25, end=60), late) == []


@pytest.mark.parametrize("end", WHOLE)
def test_whatever_else_opens_an_ended_session_is_found(end):
    """A renewal, refresh, reading or writing that began after the end, and was answered, is a fault."""
    late = [
        op("renew", 41, 42, token="t", fresh="t2", version=2),
        op("issue_refresh", 41, 42, version=1, fresh="r9", jwt="j9", since=25),
        op("refresh", 41, 42, token="r1", fresh="r2", jwt="j9", version=1),
        op("read_data", 41, 42),
        op("write_data", 41, 42, data={"a": 1}),
    ]
    for one in late:
        assert rules(SIGN_IN, ISSUE, ended(end), one) == ["stale"], one.kind


def test_a_token_of_an_older_version_is_found():
    """Once claims have changed, no access token from before counts."""
    changed = op("claims", 30, 40, claims="new")
    assert rules(SIGN_IN, MINT, changed, verify(41, 42)) == ["stale"]
    assert rules(SIGN_IN, MINT, changed, look(41, 42, claims="new")) == []
    beside = op("mint", 35, 45, token="t", version=1, jwt="j", since=21)
    assert rules(SIGN_IN, beside, changed, verify(46, 47)) == ["stale"], "the sign-in had shown that version before"
    renewed = op("renew", 21, 29, token="t", fresh="t2", version=2)
    beside = op("mint", 35, 45, token="t2", version=2, jwt="j", since=33)
    assert rules(SIGN_IN, renewed, beside, changed, verify(46, 47, version=2)) == ["stale"]
    beside_all = op("renew", 25, 39, token="t", fresh="t2", version=2)
    mint = op("mint", 41, 45, token="t2", version=2, jwt="j", since=40)
    assert rules(SIGN_IN, beside_all, changed, mint, verify(46, 47, version=2)) == [], "either may have come first"


def test_a_check_that_shows_an_older_version_is_found():
    """A check shows the version that the last change made, not one from before."""
    renewed = op("renew", 30, 40, token="t", fresh="t2", version=2)
    assert rules(SIGN_IN, renewed, look(41, 42, token="t2", version=2)) == []
    assert rules(SIGN_IN, renewed, look(41, 42, token="t2", version=1)) == ["stale"]


@pytest.mark.parametrize("end", WHOLE)
def test_a_session_that_came_back_under_a_new_token_is_found(end):
    """A renewal that ran beside a revocation must not save the session."""
    assert rules(SIGN_IN, ended("renew", 25, 60), ended(end), look(61, 62, token="t2")) == ["stale"]


@pytest.mark.parametrize("end", ["revoke_user", "revoke_everyone"])
def test_a_sign_in_beside_an_end_may_go_either_way(end):
    """Whoever signs in while a subject is revoked may be in or out; whoever does so afterwards is in."""
    beside, before = ended(end, 15, 40), ended(end, 1, 5)
    assert rules(SIGN_IN, beside, look(41, 42)) == []
    assert rules(SIGN_IN, beside, refused(41, 42)) == []
    assert rules(SIGN_IN, before, look(41, 42)) == []
    assert rules(SIGN_IN, before, refused(41, 42)) == ["lost"]


def test_what_was_kept_is_kept():
    """revoke_user(keep=…) ends all but that one: to refuse it is a loss, and the others are ended."""
    kept = ended("revoke_user", keep="s")
    assert rules(SIGN_IN, kept, look(41, 42)) == []
    assert rules(SIGN_IN, kept, refused(41, 42)) == ["lost"]
    assert rules(SIGN_IN, ended("revoke_user", keep="other"), look(41, 42)) == ["stale"]


@pytest.mark.parametrize("move", ["claims", "revoke_user", "revoke_everyone"])
def test_a_sign_in_with_an_old_generation_is_found(move):
    """Who read the generation before the subject's sessions ended, and signs in afterwards, is not let in."""
    moved = op(move, 30, 40, claims="new")
    late = op("sign_in", 41, 50, sid="s2", token="t9", claims="x", since=20, until=25)
    assert rules(moved, late) == ["stale"]
    assert rules(moved, op("sign_in", 39, 50, sid="s2", token="t9", claims="x", since=20, until=25)) == []
    assert rules(moved, op("sign_in", 41, 50, sid="s2", token="t9", claims="x", since=20, until=31)) == []
    no = {"outcome": "refused", "reason": "revoked"}
    assert rules(moved, op("sign_in", 41, 50, claims="x", since=20, until=25, **no)) == []
    assert rules(moved, op("sign_in", 51, 55, claims="x", since=45, until=46, **no)) == ["lost"]


def test_what_nobody_was_given_must_not_open_anything():
    """A token that was never given out, and is accepted, is a fault whatever it opened."""
    assert rules(SIGN_IN, look(30, 31, token="random")) == ["unasked"]
    assert rules(SIGN_IN, verify(30, 31, token="random")) == ["unasked"]
    assert rules(SIGN_IN, refused(30, 31, token="random", reason="unknown")) == []


# --- what is unknown, and what is committed ---


@pytest.mark.parametrize("end", [name for name in ENDS if name != "theft"])
def test_what_has_an_unknown_outcome_may_or_may_not_have_happened(end):
    """An end that was killed, or could not reach the store, makes neither an acceptance nor a refusal a fault."""
    unknown = ended(end, outcome="unknown", fresh="", version=0)
    assert rules(SIGN_IN, MINT, unknown, look(41, 42), verify(41, 42)) == []
    assert rules(SIGN_IN, unknown, refused(41, 42)) == []
    assert rules(SIGN_IN, unknown, refused(21, 29)) == ["lost"], "it had not even begun"


def test_what_is_unknown_does_not_excuse_for_ever():
    """Nothing of an operation is under way any more when late_s have passed since its end, or its process's."""
    second = 1_000_000_000
    unknown = ended("revoke_everyone", outcome="unknown")
    born = op("sign_in", 20 * second, 21 * second, token="t", claims="born")
    no = refused(22 * second, 23 * second)
    assert rules(unknown, born, no, late_s=10) == ["lost"]
    assert rules(unknown, born, no, late_s=30) == []
    killed = Op(kind="revoke_everyone", begin=30, outcome="unknown", process="0.1")
    death = Op(kind="fault", begin=50, end=60, process="0.1", reason="kill")
    assert rules(killed, born, no, late_s=10) == [], "as far as anybody knows it is still under way"
    assert rules(killed, death, born, no, late_s=10) == ["lost"]


@pytest.mark.parametrize("end", [name for name in ENDS if name != "theft"])
def test_what_is_committed_counts_a_lease_later(end):
    """An end whose barrier was cut short is in force when the leases of its time have run out."""
    committed = ended(end, outcome="committed", fresh="", version=0)
    assert rules(SIGN_IN, committed, look(49, 60), lease_s=10e-9) == []
    assert rules(SIGN_IN, committed, look(51, 60), lease_s=10e-9) == ["stale"]
    assert rules(SIGN_IN, committed, refused(41, 42), lease_s=10e-9) == []


def test_an_end_that_was_refused_ended_nothing():
    """revoke(of=somebody else) leaves the session as it is."""
    no = ended("revoke", outcome="refused", reason="unknown")
    assert rules(SIGN_IN, no, look(41, 42)) == []
    assert rules(SIGN_IN, no, refused(41, 42)) == ["lost"]


# --- back, and lost ---


def test_what_comes_back_is_found():
    """What was refused for good is not accepted a lease later, whatever ended it; before that another process may."""
    unknown = ended("revoke", outcome="unknown")
    assert rules(SIGN_IN, unknown, refused(41, 42), look(44, 45)) == ["back"]
    assert rules(SIGN_IN, unknown, refused(41, 42), look(44, 45), lease_s=10e-9) == []
    assert rules(SIGN_IN, unknown, refused(41, 42, reason="unsure"), look(44, 45)) == []
    assert rules(SIGN_IN, unknown, refused(41, 42), look(44, 45), in_steps=True) == []
    jwt = [SIGN_IN, MINT, unknown, verify(41, 42, outcome="refused", reason="revoked"), verify(44, 45)]
    assert rules(*jwt) == rules(*jwt, in_steps=True) == ["back"]


@pytest.mark.parametrize("end", ENDS)
def test_a_lost_sign_in_is_found(end):
    """A refusal of what was acknowledged and nobody had begun to end is a fault."""
    assert rules(SIGN_IN, refused(21, 29)) == ["lost"]
    assert rules(SIGN_IN, ended(end), refused(21, 29)) == ["lost"]
    assert rules(SIGN_IN, ended(end), refused(21, 31)) == []
    assert rules(SIGN_IN, refused(19, 29)) == ["lost"], "whoever presents a token has been given it"


@pytest.mark.parametrize("reason", ["unknown", "revoked", "renewed", "idle", "expired", "malformed"])
def test_no_reason_excuses_a_loss(reason):
    """Whatever is said, a session within its lifetime that nobody ended is there; only "unsure" says nothing."""
    assert rules(SIGN_IN, refused(21, 29, reason=reason)) == ["lost"]
    assert rules(SIGN_IN, refused(21, 29, reason="unsure")) == []


def test_a_lost_renewal_is_found():
    """The token of an acknowledged renewal opens the session, too; and a renewal does not excuse it."""
    assert rules(SIGN_IN, ended("renew"), refused(41, 42, token="t2")) == ["lost"]
    assert rules(SIGN_IN, ended("renew"), look(41, 42, token="t2")) == []


def test_a_lost_access_token_is_found():
    """An access token of the session as it stands is accepted; what only the calendar refuses needs a step of it."""
    no = {"outcome": "refused", "reason": "revoked"}
    assert rules(SIGN_IN, MINT, verify(41, 42, **no)) == ["lost"]
    before, after = op("claims", 12, 21, claims="a"), op("claims", 23, 40, claims="b")
    assert rules(SIGN_IN, before, MINT, verify(41, 42, **no)) == ["lost"]
    assert rules(SIGN_IN, after, MINT, verify(41, 42, **no)) == []
    step = Op(kind="fault", begin=30, end=40, reason="clock")
    for reason in ("expired", "not_yet_valid", "unknown_key"):
        assert rules(SIGN_IN, MINT, verify(41, 42, **{**no, "reason": reason})) == ["lost"]
        assert rules(SIGN_IN, MINT, step, verify(41, 42, **{**no, "reason": reason})) == []
    other = ended("revoke_everyone", 1, 2)
    assert rules(other, SIGN_IN, MINT, verify(41, 42, **{**no, "reason": "unknown_key"})) == []
    assert rules(SIGN_IN, MINT, step, verify(41, 42, **{**no, "reason": "bad_signature"})) == ["lost"]


@pytest.mark.parametrize("kind", ["mint", "renew", "issue_refresh", "read_data", "write_data"])
def test_whatever_else_is_refused_without_cause_is_found(kind):
    """Minting from, renewing, reading and writing a session that nobody ended works."""
    no = op(kind, 25, 29, token="t", since=21, outcome="refused", reason="unknown", version=1)
    assert rules(SIGN_IN, no) == ["lost"]
    assert rules(SIGN_IN, ended("revoke", 22, 60), no) == []


def test_a_sign_in_is_refused_for_another_epoch_only_where_one_began():
    """A server of the store was lost between the reading of the generation and the sign-in."""
    no = op("sign_in", 41, 50, sid="", outcome="refused", reason="revoked", since=35, until=38)
    for begin, end, found in ((36, 37, []), (30, 36, []), (45, 60, []), (20, 30, ["lost"]), (51, 60, ["lost"])):
        fault = Op(kind="fault", begin=begin, end=end, reason="failover")
        assert rules(SIGN_IN, fault, no, new_keys=["failover"]) == found
        assert rules(SIGN_IN, fault, no) == ["lost"]


def test_a_write_that_was_refused_may_have_been_done_where_the_store_was_put_back():
    """It was done, then undone, and its second try met nothing."""
    write = op("write_data", 41, 70, data={"a": 1}, outcome="refused", reason="unknown")
    read = op("read_data", 43, 44, data={"a": 1})
    back = Op(kind="fault", begin=40, end=65, since=50, reason="older")
    assert rules(SIGN_IN, back, write, read) == []
    assert "lost_update" in rules(SIGN_IN, write, read)


# --- refresh tokens ---


def refresh(begin, end, token="r1", fresh="r2", **fields):
    given = {} if fields.get("outcome") == "refused" else {"fresh": fresh, "jwt": f"j-{fresh}", "version": 1}
    return op("refresh", begin, end, token=token, **given, **fields)


def test_a_refresh_token_that_stops_working_is_found():
    """A rotated token works, unless its session ended or somebody else presented it."""
    no = {"outcome": "refused"}
    assert rules(SIGN_IN, ISSUE, refresh(30, 31), refresh(40, 41, "r2", reason="unknown", **no)) == ["lost"]
    assert rules(SIGN_IN, ISSUE, refresh(30, 31), refresh(40, 41, "r2", reason="reused", **no)) == ["lost"]
    assert rules(SIGN_IN, ISSUE, refresh(30, 31), refresh(40, 41, "r2", "r3")) == []
    ends = ended("revoke", 35, 50)
    assert rules(SIGN_IN, ISSUE, refresh(30, 31), ends, refresh(40, 41, "r2", reason="unknown", **no)) == []
    assert rules(SIGN_IN, ISSUE, refresh(30, 31), refresh(40, 41, reason="reused", **no)) == [], "it was spent"
    twice = refresh(40, 41, "r2", reason="reused", **no), refresh(40, 42, "r2", reason="reused", **no)
    assert rules(SIGN_IN, ISSUE, refresh(30, 31), *twice) == ["lost", "lost"], "neither of them spent it"


def test_a_refresh_token_has_one_successor():
    """Two who refresh at once get the same one."""
    assert rules(SIGN_IN, ISSUE, refresh(30, 40), refresh(31, 41)) == []
    assert rules(SIGN_IN, ISSUE, refresh(30, 40), refresh(31, 41, fresh="other")) == ["two_successors"]


def test_a_spent_refresh_token_is_found():
    """Once the successor has been used, its predecessor is theft."""
    used = refresh(50, 51, "r2", "r3")
    assert rules(SIGN_IN, ISSUE, refresh(30, 40), used, refresh(52, 53)) == ["spent"]
    assert rules(SIGN_IN, ISSUE, refresh(30, 40), used, refresh(49, 53)) == []


def test_theft_may_end_the_session():
    """A refresh with an unknown outcome excuses a refusal only if its token was presented by others, too."""
    unknown = op("refresh", 50, 51, token="r1", outcome="unknown")
    assert rules(SIGN_IN, ISSUE, unknown, refused(60, 61)) == ["lost"]
    assert rules(SIGN_IN, ISSUE, refresh(30, 40), unknown, refused(60, 61)) == []
    assert rules(SIGN_IN, ISSUE, unknown, refresh(52, 53), refused(60, 61)) == []


# --- values ---


def test_old_claims_are_found():
    """A check that began after an update returned shows that update, or one that may have come after it."""
    first, second = op("claims", 30, 40, claims="first"), op("claims", 50, 60, claims="second")
    beside = op("claims", 35, 55, claims="beside")
    assert rules(SIGN_IN, first, look(41, 42)) == ["old_value"]
    assert rules(SIGN_IN, first, second, look(61, 62, claims="first")) == ["old_value"]
    assert rules(SIGN_IN, first, second, beside, look(61, 62, claims="beside")) == []
    assert rules(SIGN_IN, first, look(39, 42)) == []
    assert rules(SIGN_IN, first, look(41, 42, claims="first")) == []
    assert rules(SIGN_IN, first, look(41, 42, claims="made up")) == ["old_value"]
    lost = op("claims", 30, 40, claims="first", outcome="unknown")
    assert rules(SIGN_IN, lost, look(41, 42)) == rules(SIGN_IN, lost, look(41, 42, claims="first")) == []


def test_a_lost_key_is_found():
    """A key whose write returned is in every later reading of the data, until it is removed."""
    write, read = op("write_data", 30, 40, data={"a": 1}), op("read_data", 50, 60, data={"b": 1})
    beside = op("write_data", 45, 70, data={"b": 1})
    assert rules(SIGN_IN, write, beside, read) == ["lost_update"]
    assert rules(SIGN_IN, write, beside, op("read_data", 50, 60, data={"a": 1, "b": 1})) == []
    assert rules(SIGN_IN, write, op("read_data", 39, 60)) == []
    assert rules(SIGN_IN, write, op("write_data", 41, 42, gone=("a",)), op("read_data", 50, 60)) == []
    assert rules(SIGN_IN, write, op("write_data", 41, 42, gone=("a",)), op("read_data", 50, 60, data={"a": 1})) == [
        "lost_update"
    ]
    assert rules(SIGN_IN, op("write_data", 22, 29, gone=("a",)), write, op("read_data", 50, 60)) == ["lost_update"]
    assert rules(SIGN_IN, op("read_data", 50, 60, data={"a": 1})) == ["lost_update"], "nobody wrote that"
    unknown, seen = op("write_data", 30, 40, data={"a": 1}, outcome="unknown"), op("read_data", 41, 42, data={"a": 1})
    assert rules(SIGN_IN, unknown, op("read_data", 50, 60)) == []
    assert rules(SIGN_IN, unknown, seen, op("read_data", 50, 60)) == ["lost_update"], "it had been seen"


def test_a_counter_that_falls_behind_is_found():
    """A value that was replaced, and that acknowledged, is not read any more; one that was not acknowledged may be."""
    one, two = op("write_data", 30, 40, data={"c": 1}), op("write_data", 41, 45, data={"c": 2})
    assert rules(SIGN_IN, one, two, op("read_data", 50, 60, data={"c": 1})) == ["lost_update"]
    assert rules(SIGN_IN, one, two, op("read_data", 44, 60, data={"c": 1})) == []
    assert rules(SIGN_IN, one, two, op("read_data", 50, 60, data={"c": 2})) == []
    late = op("write_data", 30, 40, data={"c": 1}, outcome="unknown")
    assert rules(SIGN_IN, late, two, op("read_data", 50, 60, data={"c": 1})) == [], (
        "it may have arrived after the other"
    )


def test_what_should_never_be_raised_is_found():
    """A crash is told as it was noted."""
    (finding,) = check([Op(kind="crash", begin=1, end=2, note="KeyError in fleet")])
    assert finding.rule == "crash" and "KeyError" in finding.text


# --- what it met ---


def test_only_what_met_memory_counts():
    """A revocation counts as contested when another process was answering for the session from memory."""
    end = ended("revoke", process="0.1")
    assert contested([SIGN_IN, end, look(35, 36)]) == 1
    assert contested([SIGN_IN, end, look(25, 26)], within_s=5e-9) == 1
    assert contested([SIGN_IN, end, look(24, 26)], within_s=5e-9) == 0
    for fields in ({"process": "0.1"}, {"warm": False}, {"outcome": "refused"}):
        assert contested([SIGN_IN, end, look(35, 36, **fields)]) == 0


def test_a_finding_holds_what_proves_it():
    """The sign-in, the end and the acceptance; nothing else, in that order."""
    other = op("revoke", 22, 23, sid="other")
    (finding,) = check([look(41, 42), ended("revoke"), other, SIGN_IN, op("sign_in", 1, 2, sid="other", token="o")])
    assert [one.kind for one in finding.ops] == ["sign_in", "revoke", "check"]
    assert "0.000 ms" in finding.text
