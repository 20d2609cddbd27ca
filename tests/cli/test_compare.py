"""coatcheck compare."""

import asyncio
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.servers import postgres

from coatcheck import Coatcheck
from coatcheck.cli.compare import command, measure
from coatcheck.cli.compare.plot import bars
from coatcheck.records import Receipt
from coatcheck.stores import from_url

WAYS = ["cookie", "jwt", "hybrid"]
COST = {"us", "lookups", "signatures"}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """As many rounds as there must be: what is measured is no matter here."""
    for name, count in {"ROUNDS": 4, "REPEAT": 20, "COLD_ROUNDS": 2, "COLD_EACH": 2, "REVOCATIONS": 2}.items():
        monkeypatch.setattr(measure, name, count)


def test_what_is_measured(cli):
    """Each way has its bytes, its times with both ratios, and nothing is accepted after its revocation."""
    ran = cli("compare", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = ran.json
    assert list(found["ways"]) == WAYS
    assert found["access_minutes"] == 15
    assert found["lookup_us"] > 0 and found["signature_us"] > 0
    for way in found["ways"].values():
        assert set(way) == {"wire_bytes", "warm", "cold", "revoked_ms", "accepted_after"}
        assert set(way["warm"]) == set(way["cold"]) == COST
        assert all(way[kind][part] > 0 for kind in ("warm", "cold") for part in COST)
        assert way["revoked_ms"] > 0 and way["accepted_after"] == 0
    sizes = [found["ways"][way]["wire_bytes"] for way in WAYS]
    assert sizes == sorted(sizes) and sizes[0] == len("Cookie: __Host-session=") + 43


def test_the_table(cli):
    """All that a reader compares is a row, and every time stands beside what it is compared with."""
    out = cli("compare").out
    rows = (
        "storage",
        "lookup",
        "on the wire",
        "warm check",
        "cold check",
        "revoked after",
        "best for",
        "when it fails",
    )
    assert [line for line in rows if not any(found.startswith(line) for found in out.splitlines())] == []
    for row in ("warm check", "cold check"):
        (line,) = [found for found in out.splitlines() if found.startswith(row)]
        assert line.count(" µs (") == line.count(" lookups, ") == line.count(" signatures)") == 3
    assert "up to 15 minutes" in out


def test_a_store_of_its_own(cli, place, monkeypatch):
    """It is gone afterwards; a store in the environment is not touched, nor is one made in the folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(place / "temporary"))
    (place / "temporary").mkdir()
    monkeypatch.setenv("COATCHECK_STORE", "sqlite:///somebodys.db")
    assert cli("compare").code == 0
    assert list((place / "temporary").iterdir()) == []
    assert [path.name for path in place.iterdir()] == ["temporary"]


async def left(url, subject):
    """The sessions that are left in a store, of those of the comparison and of *subject*."""
    async with Coatcheck(url) as auth:
        return len(await auth.sessions_of(subject))


def test_a_store_that_is_named(cli, add, sign_in, place):
    """What it began there it has ended, and nobody else's sessions are touched."""
    add("maria")
    session, _ = sign_in("maria")
    assert cli("compare", "--store", "sqlite:///coatcheck.db").code == 0
    assert [one["user"] for one in cli("sessions", "list", "--json").json] == ["maria"]
    assert asyncio.run(left("sqlite:///coatcheck.db", session.sub)) == 1

    async def live():
        store = from_url("sqlite:///coatcheck.db")
        await store.open()
        try:
            return [one.sid for one in await store.load_subject(session.sub)], (await store.tail(0)).head
        finally:
            await store.close()

    sids, head = asyncio.run(live())
    assert sids == [session.sid]
    assert head > 6  # as many ends were announced at least


def test_sessions_in_postgresql(cli):
    """The other engine is told by its heartbeat there: nothing is accepted after the return either."""
    url = postgres.shared().url()

    async def begin():
        async with Coatcheck(url):
            pass

    asyncio.run(begin())
    found = cli("compare", "--store", url, "--json").json
    assert [found["ways"][way]["accepted_after"] for way in WAYS] == [0, 0, 0]


def test_it_notices_what_is_accepted_too_long(cli, monkeypatch):
    """Without the revocation, each of them is counted, and the table says so."""

    async def revoke(self, sid, **kwargs):
        return Receipt(position=1, nodes=0, waited_s=0.0)

    monkeypatch.setattr(measure, "LATE_TRIES", 2)
    monkeypatch.setattr(Coatcheck, "revoke", revoke)
    assert [way["accepted_after"] for way in cli("compare", "--json").json["ways"].values()] == [2, 2, 2]
    assert cli("compare").out.count("accepted 2 times after") == 3


def test_the_picture(cli, place):
    """One SVG that every reader of XML takes, with a title and a bar for each way and figure."""
    assert cli("compare", "--plot", "figures.svg").code == 0
    root = ET.parse(place / "figures.svg").getroot()
    assert root.tag.endswith("svg") and root.find("{*}title").text
    assert len(root.findall("{*}rect")) == 3 + 4 + 4 + 3
    right = float(root.get("viewBox").split()[2])
    assert all(float(bar.get("x")) + float(bar.get("width")) < right for bar in root.findall("{*}rect"))


def test_a_picture_of_hostile_words():
    """What is written into it is text."""
    root = ET.fromstring(bars("<x>&", {"a<b": {"<script>": (0.0, '"&')}}))
    assert [part.text for part in root.iter() if part.text and "script" in part.text] == ["<script>"]


@pytest.mark.parametrize("path", ["nowhere/figures.svg", "."])
def test_a_picture_that_cannot_be_written(cli, path):
    """One line that names the option."""
    ran = cli("compare", "--plot", path)
    assert ran.code == 2
    assert ran.err.startswith("error: --plot: ")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///nowhere.db", "nonsense"])
def test_stores_that_cannot_be_measured(cli, url):
    """As with every command; no file is made."""
    assert cli("compare", "--store", url).code == 2
    assert list(Path().iterdir()) == []


def test_it_has_an_end(cli, monkeypatch):
    """Whatever the store does, it takes no longer than a minute."""
    monkeypatch.setattr(command, "LONGEST_S", 0.05)
    ran = cli("compare", "--json")
    assert (ran.code, ran.error["code"]) == (2, "too_slow")
