"""coatcheck audit and coatcheck sweep."""

import json

import pytest

from coatcheck import Device
from coatcheck.clock import DAY, SystemClock
from coatcheck.server.database.base import Entry, Event


def note(with_database, *entries):
    """Write entries into the trail."""

    async def work(database):
        for entry in entries:
            await database.note(entry)

    with_database(work)


def test_newest_first_with_names(cli, add):
    """Who did what to whom; ids and names."""
    add("root", admin=True)
    add("maria")
    cli("users", "promote", "maria")
    found = cli("audit", "--json").json
    assert [entry["event"] for entry in found] == ["promoted", "user_added", "user_added"]
    assert set(found[0]) == {
        "number",
        "at",
        "event",
        "actor",
        "actor_name",
        "user_id",
        "user",
        "sid",
        "ip",
        "user_agent",
        "detail",
    }
    assert (found[0]["actor"], found[0]["user"]) == ("command", "maria")


def test_filters(cli, add):
    """By event, by account, by number; together."""
    add("root", admin=True)
    add("maria")
    cli("users", "promote", "maria")
    cli("users", "disable", "maria")
    assert [e["event"] for e in cli("audit", "--event", "disabled", "--event", "promoted", "--json").json] == [
        "disabled",
        "promoted",
    ]
    assert [e["event"] for e in cli("audit", "--user", "ROOT", "--json").json] == ["user_added"]
    assert len(cli("audit", "--limit", "2", "--json").json) == 2
    assert cli("audit", "--event", "theft", "--json").json == []
    assert "nothing like that" in cli("audit", "--event", "theft").out


@pytest.mark.parametrize(
    ("args", "code"),
    [(("--event", "no-such"), 2), (("--limit", "0"), 2), (("--limit", "x"), 2), (("--user", "nobody"), 1)],
)
def test_what_cannot_be_asked(cli, add, args, code):
    """Told in one line."""
    add("maria")
    assert cli("audit", *args).code == code


def test_an_account_called_command_is_not_the_command_line(cli, add, with_database):
    """Names of accounts stand in quotes where somebody did something."""
    add("command line")

    async def act(database):
        user = await database.user_named("command line")
        await database.note(Entry(at=1, event=Event.SIGN_OUT, actor=user.id))

    with_database(act)
    line = cli("audit", "--event", "sign_out").out.splitlines()[1]
    assert '"command line"' in line


def test_hostile_text_in_the_trail(cli, add, with_database):
    """No user agent and no detail steers a terminal or is taken for markup."""
    add("maria")
    agent = "\x1b]0;owned\x07[bold]x[/bold]\u202e\r\nfake line"
    note(with_database, Entry(at=1, event=Event.SIGN_IN, device=Device(user_agent=agent), detail={"why": agent}))
    ran = cli("audit", "--event", "sign_in")
    assert len(ran.out.splitlines()) == 2
    assert "[bold]x[/bold]" in ran.out
    assert all(letter.isprintable() or letter == "\n" for letter in ran.out)
    text = cli("audit", "--event", "sign_in", "--json")
    assert text.out.isascii()
    assert text.json[0]["user_agent"] == agent


def test_sweep_removes_what_is_past_its_time(cli, add, with_database):
    """The trail is kept for 90 days; of the rest, what no longer counts goes."""
    add("maria")
    now = SystemClock().now()
    old = [Entry(at=now - 91 * DAY, event=Event.SIGN_IN) for _ in range(3)]
    note(with_database, *old, Entry(at=now - 89 * DAY, event=Event.SIGN_IN))
    assert cli("sweep", "--json").json == {"store": 0, "database": 3}
    assert len(cli("audit", "--event", "sign_in", "--json").json) == 1
    assert cli("sweep").out.startswith("Removed 0 rows")


def test_one_document(cli, add):
    """With --json there is nothing beside it."""
    add("maria")
    ran = cli("audit", "--json")
    assert isinstance(json.loads(ran.out), list)
    assert ran.err == ""
