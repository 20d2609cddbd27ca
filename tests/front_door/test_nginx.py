"""The whole example, with a real nginx between the visitor and two applications."""

import base64
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from examples.front_door import __main__ as example
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .conftest import PASSWORD

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


@pytest.fixture
def sign_in(behind_nginx):
    """Sign in; the cookie by hand, since httpx sends no Secure cookie to http."""

    def do():
        body = {"username": "Root", "password": PASSWORD}
        answer = behind_nginx.web.post(f"{behind_nginx.site}/api/sign-in", json=body)
        assert answer.status_code == 200, answer.text
        return {"cookie": answer.headers["set-cookie"].partition(";")[0]}

    return do


def test_each_upstream_sees_a_token_of_its_own(behind_nginx, sign_in):
    """Verified, for its audience, for a minute; and each refuses the other's."""
    cookie, tokens = sign_in(), {}
    for name in ("orders", "reports"):
        answer = behind_nginx.web.get(f"{behind_nginx.public[name]}/list", headers=cookie)
        assert answer.status_code == 200
        seen = answer.json()
        assert (seen["application"], seen["audience"], seen["lives_s"]) == (name, [name], 60)
        headers = dict(seen["headers"])
        assert "cookie" not in headers
        tokens[name] = {"authorization": headers["authorization"]}
    for name, other in (("orders", "reports"), ("reports", "orders")):
        assert behind_nginx.web.get(behind_nginx.inside[name], headers=tokens[name]).status_code == 200
        assert behind_nginx.web.get(behind_nginx.inside[name], headers=tokens[other]).status_code == 401


def test_kicked_is_out_at_the_next_request(behind_nginx, sign_in):
    """From another device: 401 at once, at both; the last token, caught on its way, is refused too."""
    cookie, other = sign_in(), sign_in()
    seen = behind_nginx.web.get(behind_nginx.public["orders"], headers=cookie).json()
    gone = behind_nginx.web.delete(f"{behind_nginx.site}/api/sessions/{seen['sid']}", headers=other)
    assert gone.status_code in (200, 204), gone.text
    for name in ("orders", "reports"):
        assert behind_nginx.web.get(behind_nginx.public[name], headers=cookie).status_code == 401
    token = {"authorization": dict(seen["headers"])["authorization"]}
    assert behind_nginx.web.get(behind_nginx.inside["orders"], headers=token).status_code == 401
    assert behind_nginx.web.get(behind_nginx.public["orders"], headers=other).status_code == 200


def test_where_to_sign_in(behind_nginx):
    """A program gets 401; a page is led there."""
    url = behind_nginx.public["orders"]
    answer = behind_nginx.web.get(f"{url}/list?a=1")
    assert answer.status_code == 401
    assert answer.headers["x-sign-in"].startswith(f"{behind_nginx.site}/sign-in?next=http")
    assert answer.headers["cache-control"] == "no-store"
    page = behind_nginx.web.get(f"{url}/list?a=1", headers={"sec-fetch-mode": "navigate"})
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
        ({"origin": "https://evil.example", "host": "evil.example"}, 403),
    ],
)
def test_posts_from_other_sites(behind_nginx, sign_in, headers, status):
    """Refused, though nginx itself asks by GET; the body of one's own arrives as POST."""
    known = {"OURS": behind_nginx.public["orders"], "SIBLING": behind_nginx.public["reports"]}
    headers = {name: known.get(value, value) for name, value in headers.items()}
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = behind_nginx.web.post(
        behind_nginx.public["orders"], headers=sign_in() | form | headers, content=b"amount=1"
    )
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["method"] == "POST"


@pytest.mark.parametrize("origin", ["https://evil.example", "SIBLING", "null"])
def test_handshakes_from_other_sites(behind_nginx, sign_in, origin):
    """Refused; one's own is greeted."""
    url = behind_nginx.public["orders"].replace("http:", "ws:") + "/live"
    cookie = sign_in()
    with connect(url, origin=behind_nginx.public["orders"], additional_headers=cookie, proxy=None) as socket:
        assert socket.recv(timeout=10)
    wrong = behind_nginx.public["reports"] if origin == "SIBLING" else origin
    with pytest.raises(InvalidStatus) as refused, connect(url, origin=wrong, additional_headers=cookie, proxy=None):
        pass
    assert refused.value.response.status_code == 403


def test_what_visitors_claim_goes_nowhere(behind_nginx, sign_in):
    """No identity header arrives, and the one Authorization is the door's; without a session neither helps."""
    claimed = SPOOFED | {"x_user": "admin", "x-anything-new": "admin"}
    assert behind_nginx.web.get(behind_nginx.public["orders"], headers=claimed).status_code == 401
    seen = behind_nginx.web.get(behind_nginx.public["orders"], headers=sign_in() | claimed).json()
    headers = dict(seen["headers"])
    assert len(headers) == len(seen["headers"])  # each once
    assert set(headers) & set(claimed) == {"authorization", "x-forwarded-for"}
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert "admin" not in headers.values()
    kind, _, token = headers["authorization"].partition(" ")
    assert kind == "Bearer"
    assert b'"at+jwt"' in base64.urlsafe_b64decode(token.partition(".")[0] + "==")


def test_past_the_proxy(behind_nginx, sign_in):
    """An application that is asked directly knows nobody, whatever comes along."""
    for name in ("orders", "reports"):
        assert behind_nginx.web.get(behind_nginx.inside[name]).status_code == 401
        assert behind_nginx.web.get(behind_nginx.inside[name], headers=sign_in() | SPOOFED).status_code == 401


def test_the_door_itself_is_not_public(behind_nginx, sign_in):
    """404 on the public listener and through nginx; on its own listener it answers."""
    said = sign_in() | {
        "x-original-method": "GET",
        "x-original-host": behind_nginx.public["orders"].removeprefix("http://"),
    }
    public = [behind_nginx.site, *behind_nginx.public.values()]
    for answer in (behind_nginx.web.get(f"{url}/forward-auth", headers=said) for url in public):
        assert (answer.status_code, "authorization" in answer.headers) == (404, False)
    assert behind_nginx.web.get(behind_nginx.door, headers=said).status_code == 200
    assert behind_nginx.web.get(behind_nginx.door).status_code == 403


@pytest.mark.parametrize(("status", "told"), [(503, "5"), (500, None), (404, None)])
def test_a_door_that_cannot_tell(behind_nginx, tmp_path, status, told):
    """Nothing passes; 503 stays 503 though nginx takes it for a fault."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as door, example._take(0) as one, example._take(0) as other:
        threading.Thread(target=door.serve_forever, daemon=True).start()
        ports = {"DOOR": door.server_port, "ORDERS": example._port(one), "REPORTS": example._port(other)}
        ports |= {"ORDERS_APP": door.server_port, "REPORTS_APP": door.server_port}
        with example._ended(example._start_nginx(example.find_nginx(), tmp_path, ports, [one, other])):
            answer = behind_nginx.web.get(f"http://127.0.0.1:{ports['ORDERS']}/", timeout=30)
        door.shutdown()
    assert (answer.status_code, answer.headers.get("retry-after")) == (503 if status == 503 else 500, told)
