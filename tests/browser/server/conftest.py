"""The ready-made server as a real process, for browsers."""

from types import SimpleNamespace

import httpx
import pytest
from tests.serving import started

PASSWORD = "correct horse battery"


@pytest.fixture
def fresh_server(tmp_path):
    """A server that nobody has set up."""
    with started(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def running_server(tmp_path_factory):
    """A server whose first administrator is Root; ``add(name)`` adds people, all with the same password."""
    with started(tmp_path_factory.mktemp("server")) as server:
        headers = {"origin": server.url}

        def ask(path, **body):
            answer = httpx.post(server.url + path, json=body, headers=headers)
            assert answer.is_success, answer.text
            return answer

        entered = ask("/api/set-up", code=server.code, username="Root", password=PASSWORD)
        # By hand: a cookie jar other than a browser's sends no Secure cookie to http://localhost.
        cookies = entered.headers.get_list("set-cookie")
        headers["cookie"] = "; ".join(text.partition(";")[0] for text in cookies)
        server.add = lambda name, admin=False: ask("/api/users", username=name, password=PASSWORD, admin=admin).json()
        yield server


@pytest.fixture
def server(running_server, profile):
    """The server that is set up, with ``enter``: somebody signs in, in a profile of their own."""

    def enter(name, **kwargs):
        page = profile(**kwargs).new_page()
        sign_in(page, running_server.url, name)
        page.wait_for_url(f"{running_server.url}/")
        return page

    return SimpleNamespace(url=running_server.url, add=running_server.add, enter=enter)


def sign_in(page, url, name, password=PASSWORD):
    """Fill in the form, and send it."""
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
