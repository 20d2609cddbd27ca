"""coatcheck doctor, as it is typed: at sites, with files, and on our own installation."""

import contextlib
import socket
import threading
from pathlib import Path

import pytest
from tests.doctor import site as sites
from tests.doctor.site import SIGNED_IN, TOKEN
from tests.servers.tls import make_certificates
from tests.serving import started

from coatcheck.cli.doctor import client

STATUSES = {"passed", "failed", "not_seen"}


@pytest.fixture
def trusted(place, monkeypatch):
    """A folder with a certificate for localhost that this process trusts."""
    folder = place / "tls"
    folder.mkdir()
    make_certificates(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "cert.pem"))
    return folder


@pytest.fixture
def saved(place):
    """Save a response; return the name of the file."""

    def write(text):
        (place / "saved").write_text(text)
        return "saved"

    return write


def ids(document, status="failed"):
    """The checks of that status."""
    return [one["id"] for part in document["looked_at"] for one in part["checks"] if one["status"] == status]


# --- a site ---


def test_a_good_site(cli, trusted, saved):
    """The exit code is 0, and it is said how much was looked at."""
    with sites.served(certificate=trusted) as site:
        ran = cli("doctor", site.url, "--response", saved(SIGNED_IN))
        assert (ran.code, ran.err) == (0, "")
        assert "0 found something" in ran.out
        document = cli("doctor", site.url, "--json").json
    assert document["findings"] == 0
    assert document["looked_at"][0]["target"] == site.url
    assert {one["status"] for one in document["looked_at"][0]["checks"]} <= STATUSES


def test_findings_are_told_and_counted(cli, trusted):
    """What was seen, why it matters, what to do, the worst first; exit code 1."""
    bad = {
        "/sign-in": {
            "headers": {"x-content-type-options": None, "referrer-policy": None, "access-control-allow-origin": "*"},
            "body": lambda body: body.replace("post", "get"),
        }
    }
    with sites.served(bad, certificate=trusted) as site:
        ran = cli("doctor", site.url)
        document = cli("doctor", site.url, "--json")
        few = cli("doctor", site.url, "--at-least", "high", "--json")
    assert ran.code == 1
    assert ran.err == "error: 4 checks found something; the worst is high\n"
    found = [line.split()[:2] for line in ran.out.splitlines() if line[:3].isupper()]
    assert found == [["HIGH", "form-method"], ["MEDIUM", "nosniff"], ["LOW", "referrer-policy"], ["LOW", "cors-any"]]
    assert ran.out.count("  seen  ") == ran.out.count("  why   ") == ran.out.count("  fix   ") == 4
    assert "(ASVS 3.4.4)" in ran.out
    assert document.error["code"] == "findings"
    assert (document.json["findings"], few.json["findings"]) == (4, 1)


def test_only_what_matters_less(cli, trusted):
    """With --at-least there is nothing left to say, and the exit code is 0."""
    with sites.served({"/sign-in": {"headers": {"referrer-policy": None}}}, certificate=trusted) as site:
        assert cli("doctor", site.url).code == 1
        assert cli("doctor", site.url, "--at-least", "medium").code == 0


def test_a_response_from_a_pipe(cli):
    """Such as curl -i writes; there is no site to ask."""
    ran = cli("doctor", "--response", "-", "--json", stdin=SIGNED_IN.replace(" HttpOnly;", ""))
    assert ids(ran.json) == ["cookie-http-only"]
    assert TOKEN not in ran.out + ran.err


def test_several_responses_in_one_file(cli, saved):
    """Interim ones, redirects and HTTP/2 are what curl writes, too."""
    text = "HTTP/1.1 100 Continue\r\n\r\n" + SIGNED_IN.replace("Secure; ", "").replace("__Host-", "__Http-")
    text += "HTTP/2 200 \r\ncontent-type: text/html\r\n\r\n<p>Hello"
    document = cli("doctor", "--response", saved(text), "--json").json
    assert "cookie-secure" in ids(document)
    assert "nosniff" in ids(document)


def test_a_cookie_that_has_an_unusual_name(cli, saved):
    """It is named."""
    text = saved(SIGNED_IN.replace("__Host-session", "zebra").replace(" HttpOnly;", ""))
    assert cli("doctor", "--response", text).code == 0
    assert "cookie-http-only" in ids(cli("doctor", "--response", text, "--cookie", "zebra", "--json").json)


def test_our_own_server_passes(cli, tmp_path):
    """With its sign-in page, its metadata, its keys, and its response to a sign-in."""
    import httpx

    with started(tmp_path) as server:
        form = {"code": server.code, "name": "root", "password": "a long passphrase 9", "username": "root"}
        with httpx.Client(base_url=server.url, headers={"origin": server.url}) as browser:
            answer = browser.post("/set-up", data=form)
            assert answer.headers.get_list("set-cookie"), answer.text
        lines = [
            f"HTTP/1.1 {answer.status_code} OK",
            *(f"{name}: {value}" for name, value in answer.headers.multi_items()),
        ]
        Path("saved").write_text("\r\n".join(lines) + "\r\n\r\n")
        document = cli("doctor", server.url, "--response", "saved", "--json").json
        assert ids(document) == []
        assert {"cookie-secure", "cookie-prefix", "csp", "jwks-algorithm", "metadata-issuer"} <= set(
            ids(document, "passed")
        )
        assert len(ids(document, "passed")) >= 40


def test_hostile_answers_do_not_steer_the_terminal(cli, saved):
    """What a site says is shown as escapes, and cut."""
    text = f"HTTP/1.1 200 OK\r\nSet-Cookie: sid\x1b[2J{'x' * 500}=1\r\n\r\n"
    ran = cli("doctor", "--response", saved(text))
    assert ran.code == 1
    assert "\x1b" not in ran.out
    assert "x" * 100 not in ran.out


# --- where it may go ---


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example",
        "shop.example.com",
        "https://user:hidden@a.example/",
        "https://",
        "https://[::1",
        "http://a b/",
    ],
)
def test_urls_that_cannot_be_asked(cli, url):
    """Wrong usage, and what may be a password is not repeated."""
    ran = cli("doctor", url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("error: URL: ")
    assert "hidden" not in ran.err


@pytest.mark.parametrize("name", ["127.1", "2130706433", "0x7f000001", "site.test"])
def test_a_name_that_leads_to_a_private_address(cli, monkeypatch, name):
    """Is not asked, unless the address was typed: whoever owns a name does not choose what is asked here."""
    with sites.served() as site:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", site.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        ran = cli("doctor", f"http://{name}:{site.port}")
        assert ran.code == 2
        assert "private address" in ran.err and "--connect" in ran.err
        assert site.asked == []
        assert cli("doctor", f"http://{name}:{site.port}", "--connect", "127.0.0.1").code in (0, 1)
        assert site.asked


@pytest.mark.parametrize(
    "location", ["https://localhost:1/", "http://localhost:{other}/", "//127.0.0.1:{other}/x?t=hidden"]
)
def test_a_redirect_elsewhere_is_not_followed(cli, location):
    """Neither to another scheme, nor to another port or host; it is told, without its query."""
    with sites.served() as other:
        to = location.format(other=other.port)
        with sites.served({"/": {"headers": {"location": to}}}) as site:
            ran = cli("doctor", site.url)
        assert ran.code == 2
        assert "another origin" in ran.err
        assert "hidden" not in ran.err
        assert other.asked == []


def test_redirects_in_a_circle(cli):
    """Have an end."""
    with sites.served({"/": {"headers": {"location": "/?again"}}}) as site:
        ran = cli("doctor", site.url)
        assert ran.code == 2 and "redirects more than" in ran.err
        assert len(site.asked) < 10


def test_keys_that_are_elsewhere_are_not_asked_for(cli):
    """Metadata say where keys are; another origin than the one typed is told, and not visited."""
    with sites.served() as other:
        change = {
            "/.well-known/oauth-authorization-server": {"body": lambda body: body | {"jwks_uri": f"{other.url}/x"}}
        }
        with sites.served(change) as site:
            document = cli("doctor", site.url, "--json").json
        assert ids(document) == ["metadata-jwks-uri"]
        assert other.asked == []


# --- bounds ---


@pytest.fixture
def raw():
    """Serve bytes, whatever is asked: a function that is given the connection."""
    sockets = []

    def serve(answer):
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def run():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    with contextlib.suppress(OSError):
                        answer(connection)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{listening.getsockname()[1]}/"

    yield serve
    for listening in sockets:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def test_a_site_that_never_answers(cli, raw, monkeypatch):
    """Is given up after the time that a question may take."""
    monkeypatch.setattr(client, "EACH_S", 0.2)
    gone = threading.Event()
    ran = cli("doctor", raw(lambda connection: gone.wait(5) if not connection.recv(1) else None))
    gone.set()
    assert ran.code == 2
    assert "no whole answer within" in ran.err


def test_a_body_without_an_end(cli, raw, monkeypatch):
    """Is read up to a bound, and what was read counts."""
    monkeypatch.setattr(client, "BODY_LONGEST", 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
    sent = []

    def answer(connection):
        connection.sendall(head)
        for _ in range(10_000):
            connection.sendall(b"x" * 10_000)
            sent.append(1)

    ran = cli("doctor", raw(answer), "--json")
    assert ran.code == 1 and "nosniff" in ids(ran.json)
    assert len(sent) < 9_000


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
        b"HTTP/1.1 abc\r\n\r\n",
        b"\0" * 999,
    ],
    ids=["nothing", "ssh", "a head without an end", "no status", "zeros"],
)
def test_what_is_no_http(cli, raw, answer):
    """Is one line, and exit code 2."""
    ran = cli("doctor", raw(lambda connection: connection.sendall(answer)))
    assert ran.code == 2
    assert ran.err.startswith("error: URL: ")


def test_nobody_listens(cli):
    """Said in words."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert "nobody listens" in cli("doctor", f"http://127.0.0.1:{port}").err


@pytest.mark.parametrize("text", ["", "\n\n", "just a letter to a friend\n", "HTTP/1.1\r\n\r\n"])
def test_files_without_a_response(cli, saved, text):
    """Wrong usage."""
    ran = cli("doctor", "--response", saved(text))
    assert ran.code == 2
    assert "holds no response" in ran.err


def test_a_file_that_is_not_there(cli):
    """One line."""
    assert cli("doctor", "--response", "nowhere").code == 2


@pytest.mark.parametrize(
    "args", [("--connect", "127.0.0.1"), ("--cookie", "sid"), ("--response", "x", "--connect", "::1")]
)
def test_options_without_a_site(cli, args):
    """They would say nothing of our own installation."""
    assert cli("doctor", *args).code == 2


@pytest.mark.parametrize("args", [("--connect", "nowhere"), ("--at-least", "everything")])
def test_options_that_say_nothing(cli, args):
    """Wrong usage."""
    assert cli("doctor", "https://a.example", *args).code == 2
