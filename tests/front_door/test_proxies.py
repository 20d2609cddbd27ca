"""The whole example, with a real proxy between the visitor and two applications: nginx, and Caddy."""

import base64
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from examples.front_door.proxies import PROXIES, ended
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .conftest import PASSWORD

pytestmark = pytest.mark.long


SPOOFED = {
    "authorization": "Bearer of-my-own",
    "x-user": "admin",
    "x-forwarded-user": "admin",
    "x-auth-request-user": "admin",
    "x-remote-user": "admin",
    "remote-user": "admin",
    "x-original-host": "localhost",
    "x-forwarded-for": "10.0.0.1",
    "forwarded": "for=10.0.0.1",
}


@pytest.fixture(scope="module")
def sign_in(behind):
    """Signs in; the cookie by hand, since httpx sends no Secure cookie to http."""

    def do():
        body = {"username": "Root", "password": PASSWORD}
        answer = behind.web.post(f"{behind.site}/api/sign-in", json=body)
        assert answer.status_code == 200, answer.text
        return {"cookie": answer.headers["set-cookie"].partition(";")[0]}

    return do


@pytest.fixture(scope="module")
def cookie(sign_in):
    """Of somebody who stays signed in: one password costs as much as all else here."""
    return sign_in()


def test_each_upstream_sees_a_token_of_its_own(behind, cookie):
    """Verified, for its audience, for a minute; and each refuses the other's."""
    tokens = {}
    for name in ("orders", "reports"):
        answer = behind.web.get(f"{behind.public[name]}/list", headers=cookie)
        assert answer.status_code == 200
        seen = answer.json()
        assert (seen["application"], seen["audience"], seen["lives_s"]) == (name, [name], 60)
        headers = dict(seen["headers"])
        assert "cookie" not in headers
        tokens[name] = {"authorization": headers["authorization"]}
    for name, other in (("orders", "reports"), ("reports", "orders")):
        assert behind.web.get(behind.inside[name], headers=tokens[name]).status_code == 200
        assert behind.web.get(behind.inside[name], headers=tokens[other]).status_code == 401


def test_kicked_is_out_at_the_next_request(behind, sign_in):
    """From another device: 401 at once, at both; the last token, caught on its way, is refused too."""
    cookie, other = sign_in(), sign_in()
    seen = behind.web.get(behind.public["orders"], headers=cookie).json()
    gone = behind.web.delete(f"{behind.site}/api/sessions/{seen['sid']}", headers=other)
    assert gone.status_code in (200, 204), gone.text
    for name in ("orders", "reports"):
        assert behind.web.get(behind.public[name], headers=cookie).status_code == 401
    token = {"authorization": dict(seen["headers"])["authorization"]}
    assert behind.web.get(behind.inside["orders"], headers=token).status_code == 401
    assert behind.web.get(behind.public["orders"], headers=other).status_code == 200


def test_where_to_sign_in(behind):
    """A program gets 401; a page is led there."""
    url = behind.public["orders"]
    answer = behind.web.get(f"{url}/list?a=1")
    assert answer.status_code == 401
    assert answer.headers["x-sign-in"].startswith(f"{behind.site}/sign-in?next=http")
    assert answer.headers["cache-control"] == "no-store"
    page = behind.web.get(f"{url}/list?a=1", headers={"sec-fetch-mode": "navigate"})
    assert (page.status_code, page.headers["location"]) == (302, answer.headers["x-sign-in"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": "OURS"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "SIBLING"}, 403),
        ({}, 403),
        ({"origin": "https://evil.example", "x-original-method": "GET"}, 403),
        ({"origin": "https://evil.example", "x-forwarded-method": "GET", "x-http-method-override": "GET"}, 403),
        ({"origin": "https://evil.example", "x_original_method": "GET", "x_forwarded_method": "GET"}, 403),
        ({"origin": "https://evil.example", "connection": "x-forwarded-method, x-original-method, origin"}, 403),
        ({"origin": "https://evil.example", "host": "evil.example"}, 403),
    ],
)
def test_posts_from_other_sites(behind, cookie, headers, status):
    """Refused, though the proxy itself asks by GET; the body of one's own arrives as POST."""
    known = {"OURS": behind.public["orders"], "SIBLING": behind.public["reports"]}
    headers = {name: known.get(value, value) for name, value in headers.items()}
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = behind.web.post(behind.public["orders"], headers=cookie | form | headers, content=b"amount=1")
    if behind.proxy == "caddy" and "host" in headers:
        status = 421  # it serves its own names only
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["method"] == "POST"


@pytest.mark.parametrize("origin", ["https://evil.example", "SIBLING", "null"])
def test_handshakes_from_other_sites(behind, cookie, origin):
    """Refused; one's own is greeted."""
    url = behind.public["orders"].replace("http:", "ws:") + "/live"
    with connect(url, origin=behind.public["orders"], additional_headers=cookie, proxy=None) as socket:
        assert socket.recv(timeout=10)
    wrong = behind.public["reports"] if origin == "SIBLING" else origin
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=wrong, additional_headers=cookie, proxy=None):
        pass
    assert refused.value.response.status_code == 403


def test_what_visitors_claim_goes_nowhere(behind, cookie):
    """No identity header arrives, and the one Authorization is the door's; without a session neither helps."""
    claimed = SPOOFED | {"x_user": "admin", "x-anything-new": "admin"}
    assert behind.web.get(behind.public["orders"], headers=claimed).status_code == 401
    seen = behind.web.get(behind.public["orders"], headers=cookie | claimed).json()
    headers = dict(seen["headers"])
    assert len(headers) == len(seen["headers"])  # each once
    assert set(headers) & set(claimed) == {"authorization", "x-forwarded-for"}
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert "admin" not in headers.values()
    kind, _, token = headers["authorization"].partition(" ")
    assert kind == "Bearer"
    assert b'"at+jwt"' in base64.urlsafe_b64decode(token.partition(".")[0] + "==")


def test_past_the_proxy(behind, cookie):
    """An application that is asked directly knows nobody, whatever comes along."""
    for name in ("orders", "reports"):
        assert behind.web.get(behind.inside[name]).status_code == 401
        assert behind.web.get(behind.inside[name], headers=cookie | SPOOFED).status_code == 401


def test_the_door_itself_is_not_public(behind, cookie):
    """404 on the public listener, nor can it be asked through the proxy; on its own listener it answers."""
    way = "original" if behind.proxy == "nginx" else "forwarded"
    said = cookie | {f"x-{way}-method": "GET", f"x-{way}-host": behind.public["orders"].removeprefix("http://")}
    for url in (behind.site, *behind.public.values()):
        answer = behind.web.get(f"{url}/forward-auth", headers=said)
        assert "authorization" not in answer.headers
        # Of Caddy's paths this is one like any other, and the application's.
        if behind.proxy == "nginx" or url == behind.site:
            assert answer.status_code == 404
        else:
            assert url == behind.public[answer.json()["application"]]
    assert behind.web.get(behind.door, headers=said).status_code == 200
    # Some proxies ask with the handshake's own headers: a question like any other.
    shake = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "x" * 24,
        "sec-websocket-version": "13",
    }
    for origin, status in ((behind.public["orders"], 200), ("https://evil.example", 403)):
        assert behind.web.get(behind.door, headers=said | shake | {"origin": origin}).status_code == status
    assert behind.web.get(behind.door).status_code == 403


@pytest.mark.parametrize("status", [503, 500, 404])
def test_a_door_that_cannot_tell(behind, tmp_path, status):
    """Nothing passes; 503 stays 503 though nginx takes it for a fault."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    proxy = PROXIES[behind.proxy](tmp_path)
    at = "127.0.0.1", 0
    with ThreadingHTTPServer(at, Door) as door, proxy.take(at) as one, proxy.take(at) as other:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        ports = {"DOOR": door.server_port, "ORDERS": one.getsockname()[1], "REPORTS": other.getsockname()[1]}
        ports |= {"ORDERS_APP": door.server_port, "REPORTS_APP": door.server_port}
        with ended(proxy.start(ports, [one, other])) as process:
            proxy.wait(process, [one, other])
            answer = behind.web.get(f"http://localhost:{ports['ORDERS']}/", timeout=30)
        door.shutdown()
    if behind.proxy == "nginx":
        assert (answer.status_code, answer.headers.get("retry-after")) == ((503, "5") if status == 503 else (500, None))
    else:
        assert answer.status_code == status  # Caddy passes the door's answer on as it is


def test_a_door_that_is_not_there(behind, tmp_path):
    """Nothing passes."""
    proxy = PROXIES[behind.proxy](tmp_path)
    at = "127.0.0.1", 0
    with proxy.take(at) as one, proxy.take(at) as other, socket.create_server(at) as closed:
        nobody = closed.getsockname()[1]
        closed.close()
        ports = {"DOOR": nobody, "ORDERS": one.getsockname()[1], "REPORTS": other.getsockname()[1]}
        ports |= {"ORDERS_APP": int(behind.inside["orders"].rpartition(":")[2]), "REPORTS_APP": nobody}
        with ended(proxy.start(ports, [one, other])) as process:
            proxy.wait(process, [one, other])
            answer = behind.web.get(f"http://localhost:{ports['ORDERS']}/", timeout=30)
    assert answer.status_code in (500, 502)
