"""``if session:`` must not let anybody in: the answer "no" is false, and is not a session."""

import pytest
from tests.attacks.visitors import ask, with_cookie

from coatcheck import Reason, Refused, Session


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_is_false(reason):
    """In if, not, and, or, bool(), any() and filter()."""
    refused = Refused(reason)
    assert not refused
    assert bool(refused) is False
    assert (refused or "sign in") == "sign in"
    assert not (refused and "welcome")
    assert not any([refused])
    assert not isinstance(refused, Session)


@pytest.mark.parametrize("name", ["sub", "sid", "claims", "session", "token"])
def test_a_refusal_has_nothing_of_a_session(name):
    """Code that forgot to ask fails; it does not go on with an empty subject."""
    with pytest.raises(AttributeError):
        getattr(Refused("unknown"), name)


async def test_every_answer_that_refuses_is_false(auth):
    """From every method that can say no."""
    done = await auth.sign_in("maria")
    generation = await auth.generation("maria")
    await auth.revoke_user("maria")
    sid = done.session.sid
    answers = [
        await auth.check(done.token), auth.check_now("x"), await auth.check("x"), await auth.renew(done.token),
        await auth.sign_in("maria", generation=generation), await auth.data(sid), await auth.update_data(sid, set={}),
        await auth.revoke(sid, of="eve"),
    ]  # fmt: skip
    for answer in answers:
        assert isinstance(answer, Refused)
        assert not answer


async def test_a_session_without_claims_and_empty_data_are_not_refusals(auth):
    """What is empty may be false; what is a session is true."""
    started = await auth.start()
    assert await auth.check(started.token)
    assert await auth.data(started.session.sid) == {}
    assert not isinstance(await auth.data(started.session.sid), Refused)
    assert await auth.update_data(started.session.sid, set={})


async def test_the_scope_of_a_refused_request_has_no_session(auth, door):
    """The application sees None under "coatcheck"; the refusal stands under a name of its own."""
    done = await auth.sign_in("maria")
    await auth.revoke(done.session.sid)
    await ask(door, headers=with_cookie(done.token))
    scope = door.app.scopes[-1]
    assert scope["coatcheck"] is None
    assert scope["coatcheck.refused"] == Refused("revoked")


async def test_nothing_but_the_door_writes_the_scope(auth, door):
    """A scope that comes with somebody in it is emptied first."""

    async def smuggling(scope, receive, send):
        forged = Session(sid="s", sub="admin", created_at=0, seen_at=0, expires_at=1, idle_s=1)
        await door(scope | {"coatcheck": forged, "coatcheck.refused": None}, receive, send)

    assert (await ask(smuggling)).json["sub"] is None
