"""The tools in a browser: under the server's policy, and from files."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from coatcheck.server.tools import PREFIX, policy_of
from coatcheck.tools import INDEX, build

# Runs before anything of the page does.
WATCH = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", event => window.violations.push(event.violatedDirective));
"""


@pytest.fixture(scope="module")
def served():
    """The pages with the headers of the server, which :mod:`tests.server.test_tools` holds it to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.removeprefix(PREFIX) or INDEX.name
            found = next((tool for tool in build.ALL if tool.name == name), None)
            self.send_response(200 if found else 404)
            if found:
                page = build.page(found, suffix="")
                self.send_header("content-security-policy", policy_of(page))
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.text.encode() if found else b"")

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("localhost", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://localhost:{server.server_port}{PREFIX}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The pages as files."""
    folder = tmp_path_factory.mktemp("tools")
    build.write(folder)
    return folder.as_uri() + "/"


@pytest.fixture(params=["served", "files"])
def base(request):
    """Where the pages are, once for each way."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def visit(profile):
    """
    Opens a tool: ``visit(address)``, at the time *now* if that is given. What it asks for and what goes wrong is noted.

    After each test nothing went wrong: no error, nothing that the policy forbids, and nothing asked for but the page.
    """
    opened = []

    def go(address, now=None, **kwargs):
        context = profile(**kwargs)
        context.add_init_script(WATCH)
        page = context.new_page()
        noted = SimpleNamespace(page=page, asked=[], errors=[], address=address)
        page.on("request", lambda request: noted.asked.append(request.url))
        page.on("websocket", lambda socket: noted.asked.append(socket.url))
        page.on("pageerror", lambda error: noted.errors.append(str(error)))
        page.on("console", lambda said: noted.errors.append(said.text) if said.type == "error" else None)
        if now is not None:
            page.clock.install(time=now)  # and it stands still until the test moves it
        page.goto(address)
        opened.append(noted)
        return page

    yield go
    for noted in opened:
        assert noted.page.evaluate("window.violations") == []
        assert noted.errors == []
        elsewhere = [url for url in noted.asked if not url.startswith("data:")]
        assert elsewhere == [noted.address], elsewhere
