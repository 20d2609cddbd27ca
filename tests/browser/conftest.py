"""A real browser, and the example as a real process."""

import asyncio
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from playwright.sync_api import sync_playwright
from tests.serving import running as running_program

from coatcheck import Coatcheck

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium():
    """The system's Chromium, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


# For one module, not for the session: while it runs, this thread counts as inside an event loop, and the asynchronous
# tests of other modules could not start theirs.
@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, without a window."""
    path = find_chromium()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium on this machine, and CI=true")
        pytest.skip("no Chromium on this machine (chromium, chromium-browser, google-chrome): nothing was shown")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def profile(browser):
    """Makes browser profiles: each with its own cookies, none knows the others."""
    made = []

    def make(**kwargs):
        made.append(browser.new_context(**kwargs))
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The example, started as a person would, on a free port and with its files in an empty folder."""
    folder = tmp_path_factory.mktemp("site")
    with running_program("examples.starlette_app", "--port", "0", folder=folder) as example:
        example.passwords = dict(re.findall(r"^ +(maria|bob) +([a-z-]+)$", example.greeting, re.MULTILINE))
        yield example


@pytest.fixture
def site(running):
    """The example, with nobody signed in: another process on the same store ends what the test before left."""

    async def end_everything():
        async with Coatcheck(f"sqlite:///{running.folder}/coatcheck.db") as auth:
            await auth.revoke_everyone()

    # In a thread of its own, since this one counts as inside the event loop of the browser.
    with ThreadPoolExecutor() as pool:
        pool.submit(asyncio.run, end_everything()).result()
    return running


@pytest.fixture
def other_site():
    """Another site: serves the pages it is given."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            page = pages.get(self.path)
            body = (page or "").encode()
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield SimpleNamespace(port=server.server_port, pages=pages)
        server.shutdown()
        thread.join()


@pytest.fixture
def sign_in(site):
    """Signs somebody in through the form, from wherever the page is now."""

    def do(page, name="maria", password=None):
        page.goto(f"{site.url}/sign-in")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(site.passwords[name] if password is None else password)
        page.get_by_role("button", name="Sign in").click()

    return do
