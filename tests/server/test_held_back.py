"""Requests that are held back until something has changed, and other things between two moments."""

import json

import pytest

from coatcheck.server.api import ENDPOINTS

PASSWORD = "correct horse battery"


async def slow(client, site, body, meanwhile, method, path):
    """Send headers, do *meanwhile*, send the body."""

    async def content():
        yield body[:1]
        await meanwhile()
        yield body[1:]

    return await client.request(method, path, content=content(), headers={"content-type": "application/json"})


BY = {
    "demote": lambda site, root: site.accounts.change(root.id, is_admin=False, by=None),
    "disable": lambda site, root: site.accounts.change(root.id, is_disabled=True, by=None),
    "end everyone": lambda site, root: site.auth.revoke_everyone(),
    "reset": lambda site, root: site.accounts.reset_password(root.id, "set by the other", by=None),
}


@pytest.mark.both("long")
@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("act", ["promote", "add"])
async def test_an_act_whose_body_comes_after_the_demotion_is_not_done(people, add, enter, site, by, act):
    """Who is no administrator any more when the body has come changes nothing."""
    await add("Second", admin=True)
    root = await enter("root")
    if act == "promote":
        method, path, body = "PATCH", f"/api/users/{people.maria.id}", {"admin": True}
    else:
        method, path, body = "POST", "/api/users", {"username": "Backdoor", "password": PASSWORD, "admin": True}
    answer = await slow(root, site, json.dumps(body).encode(), lambda: BY[by](site, people.root), method, path)
    users = {user.name: user.is_admin for user in await site.database.users(limit=50)}
    assert answer.status_code in (401, 403), (answer.status_code, users)
    assert "Backdoor" not in users and not users["Maria"]


@pytest.mark.both("long")
@pytest.mark.parametrize("by", BY)
async def test_an_act_that_hashes_while_the_demotion_happens_is_not_done(people, add, enter, site, by, monkeypatch):
    """Between the look at the rights and the write lies the hashing of a password."""
    await add("Second", admin=True)
    root = await enter("root")
    real = site.passwords.hash

    async def hashed(password):
        found = await real(password)
        if password == PASSWORD:
            await BY[by](site, people.root)
        return found

    monkeypatch.setattr(site.passwords, "hash", hashed)
    answer = await root.post("/api/users", json={"username": "Backdoor", "password": PASSWORD, "admin": True})
    users = {user.name: user.is_admin for user in await site.database.users(limit=50)}
    assert answer.status_code in (401, 403), (answer.status_code, users)


async def test_an_id_that_cannot_be_is_not_there(people, enter):
    """Too long or not printable: 404 like any other, for every path."""
    root = await enter("root")
    bad = []
    for one in ENDPOINTS:
        if "{" not in one.path or one.who == "client":  # a client without a secret hears of no path
            continue
        for value in ("x" * 300, "a%00b", "%0A", "%ff", "%F0%9F%98%80"):
            path = one.path.replace("{id}", value).replace("{sid}", value)
            body = {"admin": True} if one.body else None
            answer = await root.request(one.method, path, json=body)
            if answer.status_code != 404:
                bad.append((one.method, one.path, value[:8], answer.status_code))
    assert not bad, bad


async def test_an_unknown_field_is_not_repeated(people, browser):
    """What was sent is not sent back: it may be a password in the wrong place."""
    client = await browser()
    body = {"username": "x", "password": "y", "my secret password" + "x" * 5000: 1}
    answer = await client.post("/api/sign-in", json=body)
    assert answer.status_code == 422 and "my secret" not in answer.text


async def test_the_largest_documented_number_is_taken(people, enter):
    """What the description says is so."""
    root = await enter("root")
    assert (await root.get("/api/audit", params={"before": 2**53})).status_code == 200


async def test_a_change_whose_duty_fails_is_in_the_trail(people, enter, site, monkeypatch):
    """The account has changed, so the trail says so, whatever happens to its sessions."""
    root = await enter("root")

    async def breaks(*args, **kwargs):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(site.auth, "revoke_user", breaks)
        await root.patch(f"/api/users/{people.maria.id}", json={"disabled": True})
    await site.accounts.do_duties()
    assert (await site.database.user(people.maria.id))[0].is_disabled
    assert "disabled" in {entry.event.value for entry in await site.database.trail(limit=50)}


@pytest.mark.both
async def test_a_duty_done_again_does_not_end_a_newer_session(people, make_site, site, enter):
    """Another process may have read the duty before it was done."""
    _, hashed = await site.database.user(people.maria.id)
    changed = await site.database.set_password(people.maria.id, hashed, now=site.clock.now())
    stale = await site.database.duties()
    await site.accounts.do_duty(changed.duty)
    maria = await enter("maria")
    for duty in stale:
        await site.accounts.do_duty(duty)
    assert (await maria.get("/api/session")).status_code == 200


async def test_one_duty_that_fails_does_not_hold_up_the_others(people, site, enter, monkeypatch):
    """Whoever was disabled is out, though another could not be told yet."""
    otto = await enter("otto")
    real = site.auth.revoke_user
    await site.database.change_user(people.maria.id, is_disabled=True)
    await site.database.change_user(people.otto.id, is_disabled=True)

    async def revoke(sub, **k):
        if sub == people.maria.id:
            raise RuntimeError
        return await real(sub, **k)

    monkeypatch.setattr(site.auth, "revoke_user", revoke)
    with pytest.raises(RuntimeError):
        await site.accounts.do_duties()
    assert (await otto.get("/api/session")).status_code == 401


async def test_nobody_stays_signed_in_for_want_of_a_line_in_the_trail(people, enter, site, monkeypatch):
    """The account is disabled and the trail cannot be written: its sessions have ended all the same."""
    maria = await enter("maria")

    async def breaks(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(site.database, "note", breaks)
    with pytest.raises(RuntimeError):
        await site.accounts.change(people.maria.id, is_disabled=True, by=None)
    assert (await maria.get("/api/session")).status_code == 401
