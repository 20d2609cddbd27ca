"""What ``docs/how-to/valkey.md`` tells people to write into their configuration is what is needed."""

import contextlib
import re
import shlex
from pathlib import Path

import pytest
from tests.servers import valkey

from coatcheck import Coatcheck, Reason, Refused, StoreUnavailable, StoreUnusable

pytestmark = pytest.mark.long

ISSUER = "https://auth.example.com"
GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "valkey.md"
PASSWORD = "CHANGE-ME"


def block(name):
    """The lines that the page shows under *name*."""
    return re.search(rf"<!-- {name} -->\n```\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1].strip().splitlines()


async def use(url):
    """Do some of everything; fail if anything is not allowed."""
    async with Coatcheck(url, issuer=ISSUER, secret="s" * 43) as auth, Coatcheck(url, secret="s" * 43) as other:
        signed_in = await auth.sign_in("maria", claims={"roles": []})
        assert await other.check(signed_in.token)
        await auth.update_claims("maria", set={"roles": ["admin"]})
        await auth.update_data(signed_in.session.sid, set={"a": 1})
        assert await auth.check(signed_in.token)
        pair = await auth.issue_refresh((await auth.sessions_of("maria"))[0], client_id="cli", audience="orders")
        assert await auth.refresh(pair.refresh_token, client_id="cli", audience="orders")
        await auth.revoke_client("cli")
        await auth.rotate_keys()
        await auth.revoke(signed_in.session.sid)
        assert await other.check(signed_in.token) == Refused(Reason.REVOKED)
        await auth.revoke_everyone()
        await auth.reset_keys()
        await auth.sweep()
        assert abs(await auth.clock_skew()) < 5
        listener = next(iter(auth._store._wire._listeners.values()))
        assert listener._is_listening, "news are pushed"


async def test_four_lines_make_a_store_of_it():
    """They are enough; without those that the page names it is refused."""
    lines = dict(shlex.split(line, posix=True) for line in block("single"))
    with contextlib.closing(valkey.start(**lines)) as server:
        await use(server.url())
    for name in ("appendonly", "maxmemory-policy"):
        worse = {"appendonly": "no", "maxmemory-policy": "allkeys-lru"}[name]
        refused = pytest.raises(StoreUnusable, match="configuration")
        with contextlib.closing(valkey.start(**{**lines, name: worse})) as server, refused:
            await Coatcheck(server.url()).open()


@pytest.mark.parametrize("kind", ["single", pytest.param("cluster", marks=pytest.mark.long)])
async def test_the_rights_that_the_page_names_are_enough(kind):
    """Another prefix is not within them."""
    (line,) = block("rights")
    server = valkey.start() if kind == "single" else valkey.cluster()
    with contextlib.closing(server):
        for node in [server] if kind == "single" else server.nodes:
            node.call(*line.split())
        name = line.split()[2]
        url = server.url(prefix="coatcheck").replace("valkey://", f"valkey://{name}:{PASSWORD}@")
        await use(url)
        with pytest.raises(StoreUnavailable, match="the keys or channels of the prefix"):
            await Coatcheck(url.replace("prefix=coatcheck", "prefix=another")).open()
        for node in [server] if kind == "single" else server.nodes:
            log = node.call("ACL", "LOG")
            assert [entry for entry in log if "another" not in str(entry)] == []
