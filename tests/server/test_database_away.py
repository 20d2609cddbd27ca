"""What is served while the database does not answer."""

import pytest

from coatcheck import StoreUnavailable


@pytest.fixture
def away(site, monkeypatch):
    """Call it, and the database does not answer any more."""

    def go():
        async def fail(*args, **kwargs):
            raise StoreUnavailable("planted")

        for name in ("is_set_up", "user", "user_named", "begin_try"):
            monkeypatch.setattr(site.database, name, fail)

    return go


async def test_who_is_not_signed_in_gets_pages(browser, people, away):
    """The way to the sign-in, and its form; what needs the database says that it is away, and so does the probe."""
    visitor = await browser()
    assert (await visitor.get("/sign-in")).status_code == 200
    away()
    assert (await visitor.get("/")).headers["location"] == "/sign-in"
    assert (await visitor.get("/sign-in")).status_code == 200
    assert (await visitor.get("/set-up")).status_code == 409
    assert (await visitor.get("/readyz")).status_code == 503
    answer = await visitor.post("/api/sign-in", json={"username": "maria", "password": "correct horse battery"})
    assert answer.status_code == 503 and "retry-after" in answer.headers


async def test_a_server_without_accounts_asks_each_time(browser, add):
    """Another server's set-up is seen at once."""
    visitor = await browser()
    assert (await visitor.get("/sign-in")).headers["location"] == "/set-up"
    await add("Root", admin=True)
    assert (await visitor.get("/sign-in")).status_code == 200
