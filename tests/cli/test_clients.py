"""coatcheck clients."""

import asyncio
import hashlib

import pytest

from coatcheck import Coatcheck, Reason, Refused
from coatcheck.cli import opened
from coatcheck.clock import SystemClock
from coatcheck.server.accounts import Accounts
from coatcheck.server.clients import Clients
from coatcheck.server.database import from_url

URL = "sqlite:///coatcheck.db"


@pytest.fixture(autouse=True)
def _server(add):
    """There is one, with an account."""
    add("root", admin=True)


@pytest.fixture
def with_clients():
    """Call something with the clients as a server has them."""

    async def call(work):
        database = from_url(URL)
        await database.open()
        try:
            async with Coatcheck(URL, issuer="http://localhost") as auth:
                accounts = Accounts(auth, database, opened.make_passwords(), SystemClock())
                return await work(Clients(auth, database, accounts), auth)
        finally:
            await database.close()

    return lambda work: asyncio.run(call(work))


def is_let_in(with_clients, ident, secret):
    """Say whether a server takes them for the client."""

    async def ask(clients, auth):
        return await clients.authenticated(ident, secret) is not None

    return with_clients(ask)


def everything_shown(cli):
    """What all commands that list something print."""
    listed = [cli("clients", "list"), cli("clients", "list", "--json"), cli("audit"), cli("audit", "--json")]
    return "".join(ran.out + ran.err for ran in listed)


def secret_in(out):
    """The one secret in a text."""
    (secret,) = (line.strip() for line in out.splitlines() if len(line.strip()) == 43 and " " not in line.strip())
    return secret


def test_a_secret_is_shown_once(cli, with_clients):
    """It lets the client in, and is nowhere else: neither itself nor what is kept of it."""
    ran = cli("clients", "add", "report", "--audience", "billing", "--audience", "orders")
    assert (ran.code, ran.err) == (0, "")
    assert "shown only now" in ran.out
    assert "report can get tokens for billing, orders." in ran.out
    secret = secret_in(ran.out)
    assert ran.out.count(secret) == 1
    assert is_let_in(with_clients, "report", secret)
    shown = everything_shown(cli)
    assert secret not in shown
    assert hashlib.sha256(secret.encode()).hexdigest() not in shown
    (entry,) = cli("audit", "--event", "client_added", "--json").json
    assert entry["actor"] == "command"
    assert entry["detail"] == {"client": "report", "audiences": ["billing", "orders"]}


def test_add_answers_in_json(cli, with_clients):
    """One object, the secret in a field of its own."""
    ran = cli("clients", "add", "report", "--audience", "billing", "--json")
    document = ran.json
    assert is_let_in(with_clients, "report", document.pop("secret"))
    assert document.pop("created_at").endswith("Z")
    assert document == {
        "id": "report",
        "audiences": ["billing"],
        "is_public": False,
        "is_browser": False,
        "may_sign_in": False,
        "is_disabled": False,
    }
    assert ran.err == ""


@pytest.mark.parametrize("kind", ["--public", "--browser"])
def test_who_cannot_keep_a_secret_gets_none(cli, kind):
    """None is printed, none can be made later."""
    more = ["--sign-in"] if kind == "--public" else []
    ran = cli("clients", "add", "app", "--audience", "api", kind, *more, "--json")
    assert ran.json["secret"] is None
    assert ran.json["is_public"] is True
    assert ran.json["is_browser"] is (kind == "--browser")
    assert ran.json["may_sign_in"] is (kind == "--public")
    assert "shown only now" not in cli("clients", "add", "app2", "--audience", "api2", kind).out
    ran = cli("clients", "rotate-secret", "app", "--json")
    assert (ran.code, ran.error["code"]) == (1, "no_secret")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("report", "--audience", "x"), (1, "ID: there is a client report already")),
        (("-report", "--audience", "x"), (2, "")),
        (("a b", "--audience", "x"), (1, "ID: ")),
        (("a\x1b[2J", "--audience", "x"), (1, "ID: ")),
        (("\udcff", "--audience", "x"), (1, "ID: ")),
        (("", "--audience", "x"), (1, "ID: ")),
        (("REPORT", "--audience", "x"), (1, "ID: there is a client REPORT already (capital letters do not count)")),
        (("other", "--audience", "a b"), (1, "--audience: Each has 1 to 255 visible ASCII characters")),
        (("other", "--audience", ""), (1, "--audience: ")),
        (("other", "--audience", "a\x1b[2J"), (1, "--audience: ")),
        (("other", "--audience", "\udcff"), (1, "--audience: ")),
        (("other", "--audience", "a", "--audience", "a"), (1, "--audience: One of them is there twice")),
        (("other",), (2, "--audience")),
        (("other", "--audience", "x", "--sign-in"), (1, "--sign-in: People sign in through clients without a secret")),
        (("other", "--audience", "x", "--browser", "--public"), (1, "--public: A browser client has no secret anyway")),
    ],
)
def test_what_cannot_be_added(cli, args, expected):
    """One line that names the field; nothing was added."""
    cli("clients", "add", "report", "--audience", "billing")
    ran = cli("clients", "add", *args)
    assert (ran.code, ran.out) == (expected[0], "")
    assert expected[1] in ran.err
    assert ran.err[:-1].isprintable()
    assert [client["id"] for client in cli("clients", "list", "--json").json] == ["report"]


def test_pages_get_tokens_for_an_audience_in_one_name(cli):
    """Of two browser clients for one audience only one could ever be used; a disabled one is in nobody's way."""
    cli("clients", "add", "pages", "--audience", "api", "--audience", "orders", "--browser")
    cli("clients", "add", "worker", "--audience", "billing")
    ran = cli("clients", "add", "more", "--audience", "billing", "--audience", "orders", "--browser", "--json")
    assert (ran.code, ran.error["code"]) == (1, "audience_taken")
    assert ran.error["detail"].startswith("--audience: ")
    assert "disable that one first, or name another audience" in ran.error["detail"]
    assert cli("clients", "add", "other", "--audience", "billing", "--browser").code == 0
    cli("clients", "disable", "pages")
    assert cli("clients", "add", "more", "--audience", "orders", "--browser").code == 0


def test_the_longest_client_that_can_be_added_gets_a_token(cli, with_clients):
    """Each limit alone and all of them together: what is accepted works."""
    audiences = [f"{n:02}".ljust(43, "x") for n in range(16)]
    audiences[0] += "y" * (700 - sum(map(len, audiences)))
    options = [text for audience in audiences for text in ("--audience", audience)]
    secret = cli("clients", "add", "i" * 64, *options, "--json").json["secret"]
    long = cli("clients", "add", "j", "--audience", "x" * 255, "--json")
    assert long.code == 0

    async def token(clients, auth):
        client = await clients.authenticated("i" * 64, secret)
        session = await clients.own_session(client, now=SystemClock().now(), for_s=60)
        made = await auth.fresh_token(session, audience=client.audiences, client_id=client.id)
        return auth.verify(made, audience=audiences[-1])

    assert with_clients(token).audience == tuple(audiences)


def test_a_public_client_without_sign_in_is_told_what_it_can_do(cli):
    """Little, here: only what an application begins for it."""
    ran = cli("clients", "add", "app", "--audience", "api", "--public")
    assert (ran.code, ran.err) == (0, "")
    assert "--sign-in was not given" in ran.out
    assert "--sign-in" not in cli("clients", "add", "app2", "--audience", "api", "--public", "--sign-in").out


def test_the_list(cli):
    """Kinds and states in words, plain when piped; empty, it says what to do."""
    assert "clients add ID --audience A" in cli("clients", "list").out
    assert cli("clients", "list", "--json").json == []
    cli("clients", "add", "b", "--audience", "billing", "--audience", "orders")
    cli("clients", "add", "a", "--audience", "api", "--browser")
    cli("clients", "add", "c", "--audience", "api", "--public", "--sign-in")
    cli("clients", "disable", "b")
    ran = cli("clients", "list")
    heading, *lines = ran.out.splitlines()
    assert heading.split() == ["id", "audiences", "kind", "sign-in", "state", "created"]
    assert [line.split()[:-1] for line in lines] == [
        ["a", "api", "browser"],
        ["b", "billing,", "orders", "confidential", "disabled"],
        ["c", "api", "public", "yes"],
    ]
    assert "\x1b" not in ran.out


def test_another_secret(cli, with_clients):
    """The old one is refused when the command returns."""
    old = cli("clients", "add", "report", "--audience", "billing", "--json").json["secret"]
    ran = cli("clients", "rotate-secret", "report")
    assert "shown only now" in ran.out
    new = secret_in(ran.out)
    assert old not in ran.out
    assert not is_let_in(with_clients, "report", old)
    assert is_let_in(with_clients, "report", new)
    newest = cli("clients", "rotate-secret", "report", "--json").json["secret"]
    assert is_let_in(with_clients, "report", newest)
    assert newest not in everything_shown(cli)
    assert new not in everything_shown(cli)
    assert len(cli("audit", "--event", "client_secret", "--json").json) == 2


def test_a_disabled_client(cli, with_clients):
    """It is not let in, and tokens that it had are refused; another secret does not bring it back."""
    secret = cli("clients", "add", "report", "--audience", "billing", "--json").json["secret"]

    async def token(clients, auth):
        client = await clients.authenticated("report", secret)
        session = await clients.own_session(client, now=SystemClock().now(), for_s=60)
        return await auth.fresh_token(session, audience="billing", client_id="report")

    async def is_accepted(clients, auth):
        return bool(auth.verify(made, audience="billing"))

    made = with_clients(token)
    assert with_clients(is_accepted)
    ran = cli("clients", "disable", "report", "--json")
    assert ran.json["is_disabled"] is True
    assert "secret" not in ran.json
    assert not with_clients(is_accepted)
    assert not is_let_in(with_clients, "report", secret)
    ran = cli("clients", "rotate-secret", "report")
    assert "stays disabled" in ran.out
    assert not is_let_in(with_clients, "report", secret_in(ran.out))
    assert cli("audit", "--event", "client_disabled", "--json").json[0]["detail"] == {"client": "report"}


def test_people_who_signed_in_through_it_are_out(cli, sign_in, check, with_clients):
    """Their session has ended when the command returns, with all its tokens; one of a browser has not."""
    cli("clients", "add", "app", "--audience", "api", "--public", "--sign-in")
    (theirs, token), (_, cookie) = sign_in("root"), sign_in("root")

    async def begin(clients, auth):
        return await clients.begin(await clients.signs_in("app"), theirs)

    async def verdicts(clients, auth):
        refreshed = await auth.refresh(pair.refresh_token, client_id="app")
        return auth.verify(pair.access_token, audience="api"), refreshed

    pair = with_clients(begin)
    assert check(token)
    assert "People who signed in through it are signed out" in cli("clients", "disable", "app").out
    assert with_clients(verdicts) == (Refused(Reason.REVOKED), Refused(Reason.UNKNOWN))
    assert check(token) == Refused(Reason.REVOKED)
    assert check(cookie)


def test_it_is_told_what_runs_out_by_itself(cli):
    """Access tokens of pages: said rather than hidden."""
    cli("clients", "add", "pages", "--audience", "api", "--browser")
    assert "Pages keep the access tokens they have" in cli("clients", "disable", "pages").out


@pytest.mark.parametrize("command", ["rotate-secret", "disable"])
@pytest.mark.parametrize("ident", ["nobody", "\x1b[2J\n", "\udcff", "ü", ""])
def test_no_such_client(cli, command, ident):
    """One line, and where to look."""
    ran = cli("clients", command, ident)
    assert (ran.code, ran.out) == (1, "")
    assert "coatcheck clients list" in ran.err
    assert ran.err[:-1].isprintable()
