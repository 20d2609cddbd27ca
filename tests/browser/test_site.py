"""The documentation site in a browser: every page, wide and narrow, light and dark."""

import functools
import http.server
import subprocess
import sys
import threading

import pytest
from tests.serving import ROOT

pytestmark = pytest.mark.long


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing."""

    def log_message(self, *args):
        """Nothing."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The site, built and served; gives its folder and where it is."""
    to = tmp_path_factory.mktemp("docs") / "site"
    subprocess.run([sys.executable, str(ROOT / "scripts" / "site.py"), "--to", str(to)], check=True)
    handler = functools.partial(Quiet, directory=str(to))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield to, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_every_page_fits_and_asks_nobody(served, profile, width, scheme):
    """No page is wider than the window, nothing is missing, nothing comes from elsewhere, no script complains."""
    to, url = served
    page = profile(viewport={"width": width, "height": 800}, color_scheme=scheme).new_page()
    asked, missing, complaints, wide = set(), set(), [], []
    page.on("request", lambda request: asked.add(request.url))
    page.on("response", lambda response: response.status >= 400 and missing.add(response.url))
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    paths = [path.relative_to(to) for path in sorted(to.rglob("*.html"))]
    for path in paths:
        page.goto(f"{url}/{path}")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wide.append(str(path))
    assert len(paths) > 70
    assert (wide, missing, complaints) == ([], set(), [])
    assert {one for one in asked if not one.startswith((url, "data:", "blob:"))} == set()


def test_the_search_finds_what_is_there(served, profile):
    """By what people type."""
    _, url = served
    page = profile(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(f"{url}/index.html")
    page.get_by_label("Search").first.fill("revoke_user")
    page.locator(".md-search-result__item").first.wait_for()
    assert page.locator(".md-search-result__item").count() > 0
