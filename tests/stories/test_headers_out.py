"""What the middleware makes of the headers an application sends, however it sends them."""

import pytest

from coatcheck import Coatcheck
from coatcheck.asgi import SessionMiddleware, csrf_token


@pytest.fixture
async def auth():
    """An engine; the store does not matter here."""
    async with Coatcheck("memory://") as engine:
        yield engine


async def answer(app, auth, **scope):
    """Send one request; return the headers of the response."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "client": None} | scope
    await SessionMiddleware(app, auth=auth)(scope, None, send)
    return sent[0]["headers"]


def responding(headers):
    """An application that answers with *headers*, made anew for each request."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": headers()})

    return app


@pytest.mark.parametrize("kind", [list, tuple, iter])
async def test_any_iterable_of_headers_arrives_whole(auth, kind):
    """ASGI allows any iterable; none of it is lost."""
    fields = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=b")]
    found = await answer(responding(lambda: kind(fields)), auth)
    assert found == [*fields, (b"vary", b"Cookie"), (b"cache-control", b"no-store")]


async def test_no_headers_at_all(auth):
    """An application that sends None, or leaves them out, gets ours."""
    ours = [(b"vary", b"Cookie"), (b"cache-control", b"private, no-cache")]
    assert await answer(responding(lambda: None), auth) == ours


async def test_odd_spellings_are_seen(auth):
    """A permission for shared caches does not survive in capitals."""
    fields = [(b"Cache-Control", b"public, max-age=600"), (b"Set-Cookie", b"a=b")]
    found = await answer(responding(lambda: list(fields)), auth)
    assert found == [(b"Set-Cookie", b"a=b"), (b"vary", b"Cookie"), (b"cache-control", b"no-store")]


async def test_a_message_used_twice_carries_nothing_over(auth):
    """An application that keeps its first message does not hand one visitor's cookie to the next."""
    kept = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}

    async def app(scope, receive, send):
        if scope["path"] == "/form":
            csrf_token(scope)
        await send(kept)

    first = await answer(app, auth, path="/form")
    assert [name for name, _ in first].count(b"set-cookie") == 1
    second = await answer(app, auth)
    assert b"set-cookie" not in [name for name, _ in second]


async def test_a_copied_scope_still_sets_the_forms_cookie(auth):
    """A framework may hand on a copy of the scope."""

    async def app(scope, receive, send):
        csrf_token(dict(scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})

    assert b"set-cookie" in [name for name, _ in await answer(app, auth)]


async def test_a_cross_site_request_in_capitals_is_one(auth):
    """A server that does not lower header names does not open the door."""
    called = []

    async def app(scope, receive, send):
        called.append(scope)

    fields = [(b"Sec-Fetch-Site", b"cross-site"), (b"Content-Type", b"application/json")]
    await answer(app, auth, method="POST", headers=fields)
    assert called == []
