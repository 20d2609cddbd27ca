"""The JSON interface, story by story, through the whole application."""

import json

import pytest

from coatcheck.clock import MINUTE

PASSWORD = "correct horse battery"


async def body_of(answer, status=200):
    assert answer.status_code == status, answer.text
    return answer.json()


async def code_of(answer, status):
    told = await body_of(answer, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["status"] == status and told["type"].endswith(told["code"])
    return told["code"]


# --- set-up ---


@pytest.mark.both
async def test_set_up_makes_an_administrator_once(site, browser):
    """The printed code makes the first account, signs it in, and never opens again."""
    code = await site.desk.new_code()
    client = await browser()
    wanted = {"code": code, "username": "Root", "password": PASSWORD}
    assert await code_of(await client.post("/api/set-up", json=wanted | {"code": "0" * 32}), 403) == "wrong_code"
    session = await body_of(await client.post("/api/set-up", json=wanted))
    assert session["name"] == "Root" and session["roles"] == ["admin"]
    assert (await client.get("/api/users")).status_code == 200
    assert await code_of(await client.post("/api/set-up", json=wanted | {"username": "Eve"}), 409) == "set_up_already"
    assert await site.desk.new_code() is None


async def test_a_set_up_code_has_an_hour_and_ten_tries(site, browser, clock):
    """Afterwards it is worth nothing."""
    client = await browser()
    late = await site.desk.new_code()
    clock.advance(3600)
    wanted = {"username": "Root", "password": PASSWORD}
    assert await code_of(await client.post("/api/set-up", json=wanted | {"code": late}), 403) == "wrong_code"
    code = await site.desk.new_code()
    for _ in range(10):
        assert await code_of(await client.post("/api/set-up", json=wanted | {"code": "f" * 32}), 403) == "wrong_code"
    assert await code_of(await client.post("/api/set-up", json=wanted | {"code": code}), 403) == "wrong_code"


async def test_a_code_may_be_typed_as_people_type(site, browser):
    """Capitals, spaces and no hyphens make no difference."""
    code = await site.desk.new_code()
    wanted = {"code": f" {code.replace('-', ' ').upper()} ", "username": "Root", "password": PASSWORD}
    await body_of(await (await browser()).post("/api/set-up", json=wanted))


# --- signing in and out ---


async def test_sign_in_look_and_sign_out(people, enter, browser):
    """The cookie carries the session; its value is in no body; after the sign-out it opens nothing."""
    client = await enter("maria")
    token = client.cookies["__Host-session"]
    session = await client.get("/api/session")
    told = await body_of(session)
    assert told["sub"] == people.maria.id and told["name"] == "Maria" and told["current"] and told["fresh"]
    assert token not in session.text
    gone = await client.delete("/api/session")
    assert gone.status_code == 204 and gone.headers["clear-site-data"] == '"cache", "storage"'
    assert "Max-Age=0" in gone.headers["set-cookie"]
    thief = await browser()
    thief.cookies.set("__Host-session", token, domain="auth.example.com")
    assert await code_of(await thief.get("/api/session"), 401) == "not_signed_in"


async def test_the_session_cookie_is_as_it_should_be(people, browser):
    """All the attributes, and the device cookie beside it."""
    client = await browser()
    answer = await client.post("/api/sign-in", json={"username": "maria", "password": PASSWORD})
    first, second = answer.headers.get_list("set-cookie")
    assert first.startswith("__Host-session=") and second.startswith("__Host-coatcheck-device=")
    for cookie in (first, second):
        assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    again = await client.post("/api/sign-in", json={"username": "maria", "password": PASSWORD})
    assert len(again.headers.get_list("set-cookie")) == 1, "the browser is known by now"


@pytest.mark.parametrize(
    ("username", "password"), [("maria", "wrong password"), ("nobody", PASSWORD), ("x" * 1024, PASSWORD)]
)
async def test_wrong_is_wrong(people, browser, username, password):
    """Unknown name and wrong password are one answer."""
    answer = await (await browser()).post("/api/sign-in", json={"username": username, "password": password})
    assert await code_of(answer, 401) == "wrong_credentials"
    assert "set-cookie" not in answer.headers


async def test_a_sign_in_ends_the_session_that_the_browser_had(people, enter):
    """Signing in again does not leave a session behind."""
    client = await enter("maria")
    before = client.sid
    await client.post("/api/sign-in", json={"username": "otto", "password": PASSWORD})
    root = await enter("root")
    told = await body_of(await root.get(f"/api/users/{people.maria.id}/sessions"))
    assert before not in [session["sid"] for session in told["sessions"]]


# --- devices ---


@pytest.mark.both
async def test_kick_a_device(people, enter):
    """A device that is signed out from another is out at its next request."""
    phone, laptop = await enter("maria"), await enter("maria")
    told = await body_of(await laptop.get("/api/sessions"))
    assert [session["current"] for session in told["sessions"]] == [True, False]
    assert (await laptop.delete(f"/api/sessions/{phone.sid}")).status_code == 204
    assert (await phone.get("/api/session")).status_code == 401
    assert (await laptop.get("/api/session")).status_code == 200


async def test_kick_all_others(people, enter):
    """Everywhere else, and then here too."""
    others = [await enter("maria") for _ in range(3)]
    laptop = await enter("maria")
    assert (await laptop.delete("/api/sessions", params={"keep": "current"})).status_code == 204
    assert [(await other.get("/api/session")).status_code for other in others] == [401] * 3
    assert (await laptop.get("/api/session")).status_code == 200
    everywhere = await laptop.delete("/api/sessions")
    assert everywhere.status_code == 204 and "clear-site-data" in everywhere.headers
    assert (await laptop.get("/api/session")).status_code == 401


async def test_an_old_sign_in_needs_the_password_once_more(people, enter, clock):
    """After a quarter of an hour, ending others needs the password; signing out oneself never does."""
    phone, laptop = await enter("maria"), await enter("maria")
    clock.advance(15 * MINUTE)
    assert not (await body_of(await laptop.get("/api/session")))["fresh"]
    assert await code_of(await laptop.delete(f"/api/sessions/{phone.sid}"), 403) == "not_fresh"
    assert await code_of(await laptop.delete("/api/sessions?keep=current"), 403) == "not_fresh"
    assert (await phone.get("/api/session")).status_code == 200
    wrong = await laptop.post("/api/session/fresh", json={"password": "wrong password"})
    assert await code_of(wrong, 403) == "wrong_password"
    old = laptop.cookies["__Host-session"]
    assert (await body_of(await laptop.post("/api/session/fresh", json={"password": PASSWORD})))["fresh"]
    assert laptop.cookies["__Host-session"] != old
    assert (await laptop.delete(f"/api/sessions/{phone.sid}")).status_code == 204
    assert (await laptop.delete(f"/api/sessions/{laptop.sid}")).status_code == 204


@pytest.mark.both
async def test_change_the_password(people, enter, browser):
    """Every other session ends, this one goes on under a new token, and only the new password is right."""
    phone, laptop = await enter("maria"), await enter("maria")
    old = laptop.cookies["__Host-session"]
    wanted = {"current_password": PASSWORD, "new_password": "another good one"}
    await body_of(await laptop.post("/api/password", json=wanted))
    assert laptop.cookies["__Host-session"] != old
    assert (await laptop.get("/api/session")).status_code == 200
    assert (await phone.get("/api/session")).status_code == 401
    client = await browser()
    for password, status in ((PASSWORD, 401), ("another good one", 200)):
        answer = await client.post("/api/sign-in", json={"username": "maria", "password": password})
        assert answer.status_code == status


@pytest.mark.parametrize("new", ["short", "password1", "Maria", "aaaaaaaaaaaa", "x" * 257])
async def test_a_bad_new_password_changes_nothing(people, enter, new):
    """Too short, too common, the name itself: said, with the field."""
    client = await enter("maria")
    answer = await client.post("/api/password", json={"current_password": PASSWORD, "new_password": new})
    assert await code_of(answer, 422) == "invalid" and answer.json()["field"] == "new_password"
    await enter("maria")


# --- administrators ---


@pytest.mark.both
async def test_administrators_look_after_users(people, enter, browser):
    """Add, find, promote, demote, disable, enable, reset: each is in force at the next request."""
    root, maria = await enter("root"), await enter("maria")
    added = await body_of(await root.post("/api/users", json={"username": "Zoë", "password": PASSWORD}), 201)
    assert added["name"] == "Zoë" and not added["admin"]
    found = await body_of(await root.get("/api/users", params={"query": "zo"}))
    assert [user["id"] for user in found["users"]] == [added["id"]]

    path = f"/api/users/{people.maria.id}"
    assert (await maria.get("/api/users")).status_code == 403
    assert (await body_of(await root.patch(path, json={"admin": True})))["admin"]
    assert (await maria.get("/api/users")).status_code == 200
    await body_of(await root.patch(path, json={"admin": False}))
    assert (await maria.get("/api/users")).status_code == 403

    await body_of(await root.patch(path, json={"disabled": True}))
    assert (await maria.get("/api/session")).status_code == 401
    refused = await maria.post("/api/sign-in", json={"username": "maria", "password": PASSWORD})
    assert await code_of(refused, 401) == "wrong_credentials"
    await body_of(await root.patch(path, json={"disabled": False}))
    maria = await enter("maria")
    await body_of(await root.patch(path, json={"password": "set by the admin"}))
    assert (await maria.get("/api/session")).status_code == 401
    await enter("maria", "set by the admin")


async def test_administrators_end_sessions(people, enter):
    """One, all of one, everyone's."""
    root, phone, laptop = await enter("root"), await enter("maria"), await enter("maria")
    otto = await enter("otto")
    path = f"/api/users/{people.maria.id}/sessions"
    assert len((await body_of(await root.get(path)))["sessions"]) == 2
    assert (await root.delete(f"{path}/{phone.sid}")).status_code == 204
    assert (await phone.get("/api/session")).status_code == 401
    assert (await laptop.get("/api/session")).status_code == 200
    assert (await root.delete(path)).status_code == 204
    assert (await laptop.get("/api/session")).status_code == 401
    assert (await otto.get("/api/session")).status_code == 200
    assert (await root.delete("/api/everyone/sessions")).status_code == 204
    assert (await otto.get("/api/session")).status_code == (await root.get("/api/session")).status_code == 401


@pytest.mark.both
async def test_the_last_administrator_stays(people, enter):
    """Nobody can lock everybody out."""
    root = await enter("root")
    for change in ({"admin": False}, {"disabled": True}):
        answer = await root.patch(f"/api/users/{people.root.id}", json=change)
        assert await code_of(answer, 409) == "last_admin"
    await body_of(await root.patch(f"/api/users/{people.maria.id}", json={"admin": True}))
    await body_of(await root.patch(f"/api/users/{people.root.id}", json={"admin": False}))
    assert (await root.get("/api/users")).status_code == 403


@pytest.mark.parametrize(
    "call",
    [
        ("POST", "/api/users", {"username": "Eve", "password": PASSWORD}),
        ("PATCH", "/api/users/{maria}", {"admin": True}),
        ("DELETE", "/api/users/{maria}/sessions", None),
        ("DELETE", "/api/everyone/sessions", None),
    ],
)
async def test_an_administrators_act_needs_a_fresh_password(people, enter, clock, call):
    """A session left open does not promote anybody."""
    method, path, body = call
    root = await enter("root")
    clock.advance(15 * MINUTE)
    answer = await root.request(method, path.format(maria=people.maria.id), json=body)
    assert await code_of(answer, 403) == "not_fresh"


async def test_names_are_one_whatever_the_letters(people, enter):
    """Maria, MARIA and a look-alike in full width are one name."""
    root = await enter("root")
    for name in ("maria", "MARIA", "\uff2d\uff41\uff52\uff49\uff41"):
        answer = await root.post("/api/users", json={"username": name, "password": PASSWORD})
        assert await code_of(answer, 409) == "name_taken"


@pytest.mark.parametrize("name", ["", " ", " maria", "a\u0000b", "a\nb", "a\u202eb", "a\u200bb", "x" * 129])
async def test_names_that_cannot_be(people, enter, name):
    """Nothing invisible, nothing that turns text around, no control characters."""
    root = await enter("root")
    answer = await root.post("/api/users", json={"username": name, "password": PASSWORD})
    assert await code_of(answer, 422) == "invalid" and answer.json()["field"] == "username"


@pytest.mark.both
async def test_the_audit_trail_tells_what_happened(people, enter, browser, site):
    """Who, what, when, from where; and never a token, a password or a name that nobody has."""
    root, maria = await enter("root"), await enter("maria", address="198.51.100.9")
    stranger = await browser()
    await stranger.post("/api/sign-in", json={"username": "my secret password", "password": "x"})
    await stranger.post("/api/sign-in", json={"username": "maria", "password": "not this one"})
    await root.patch(f"/api/users/{people.maria.id}", json={"admin": True})
    await maria.delete("/api/session")
    answer = await root.get("/api/audit")
    told = (await body_of(answer))["entries"]
    events = [entry["event"] for entry in told]
    assert events[:6] == ["sign_out", "promoted", "sign_in_failed", "sign_in_failed", "sign_in", "sign_in"]
    assert told[0]["device"]["ip"] == "198.51.100.9" and told[0]["sid"] == maria.sid
    assert told[1]["actor"] == people.root.id and told[1]["user"] == people.maria.id
    for secret in (maria.cookies.get("__Host-session", "#"), "my secret password", "not this one", PASSWORD):
        assert secret not in answer.text
    filtered = await body_of(await root.get("/api/audit", params={"event": ["promoted", "sign_out"], "limit": 1}))
    assert [entry["event"] for entry in filtered["entries"]] == ["sign_out"]
    rest = {"event": ["promoted", "sign_out"], "before": filtered["next"]}
    assert [entry["event"] for entry in (await body_of(await root.get("/api/audit", params=rest)))["entries"]] == [
        "promoted"
    ]


async def test_pages_of_users(people, enter):
    """A long list comes in parts, none twice and none missing."""
    root = await enter("root")
    for number in range(5):
        await body_of(await root.post("/api/users", json={"username": f"user {number}", "password": PASSWORD}), 201)
    names, after = [], None
    while True:
        params = {"limit": 3} | ({} if after is None else {"after": after})
        told = await body_of(await root.get("/api/users", params=params))
        names += [user["name"] for user in told["users"]]
        after = told["next"]
        if after is None:
            break
    assert names == ["Maria", "Otto", "Root", *(f"user {number}" for number in range(5))]


# --- bad input ---


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed"),
        (b"\xff\xfe", "application/json", 400, "malformed"),
        (b'{"username":"\\ud800","password":"x"}', "application/json", 400, "malformed"),
        (b"[]", "application/json", 422, "invalid"),
        (b'{"username":1,"password":"x"}', "application/json", 422, "invalid"),
        (b'{"username":"x"}', "application/json", 422, "invalid"),
        (b'{"username":"x","password":"y","admin":true}', "application/json", 422, "invalid"),
        (b"username=x&password=y", "application/x-www-form-urlencoded", 415, "not_json"),
        (b'{"username":"x","password":"y"}', "text/plain", 415, "not_json"),
        (b'{"username":"' + b"x" * 100_000 + b'"}', "application/json", 413, "too_large"),
        (json.dumps({"username": "x" * 2000, "password": "y"}).encode(), "application/json", 422, "invalid"),
    ],
)
async def test_bad_bodies_are_named(people, browser, content, media_type, status, code):
    """Never a 500, never a traceback."""
    answer = await (await browser()).post("/api/sign-in", content=content, headers={"content-type": media_type})
    assert await code_of(answer, status) == code


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=1&limit=2", "before=-1", "event=nothing", "limit=²"])
async def test_bad_queries_are_named(people, enter, query):
    """The parameter is named."""
    answer = await (await enter("root")).get(f"/api/audit?{query}")
    assert await code_of(answer, 422) == "invalid" and answer.json()["field"] == query.partition("=")[0]


async def test_no_such_address_and_no_such_method(people, browser):
    """They are problems, too."""
    client = await browser()
    assert await code_of(await client.get("/api/nothing"), 404) == "not_found"
    answer = await client.put("/api/session", json={})
    assert await code_of(answer, 405) == "method_not_allowed"
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "DELETE"}


async def test_every_answer_has_the_security_headers(people, browser):
    """Errors too; HSTS since these browsers come by https; nothing is kept by anybody."""
    client = await browser()
    for path in ("/api/session", "/api/nothing", "/healthz", "/api/openapi.json"):
        answer = await client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" in answer.headers
    assert (await client.get("/api/session")).headers["cache-control"] == "no-store"


async def test_probes_are_answered_whatever_the_host(browser, site):
    """A probe knows an address, not a name."""
    client = await browser()
    for path in ("/healthz", "/readyz"):
        answer = await client.get(path, headers={"host": "10.0.0.1:8000"})
        assert answer.status_code == 200
    assert (await client.get("/api/session", headers={"host": "10.0.0.1:8000"})).status_code == 421
    await site.database.close()
    assert (await client.get("/readyz")).status_code == 503
    assert (await client.get("/healthz")).status_code == 200
