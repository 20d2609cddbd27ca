"""What a PostgreSQL server says of itself. Floor 2; may import: floor 0."""

from __future__ import annotations

from coatcheck.stores._postgres_connect import Connector, begin
from coatcheck.stores._postgres_lanes import Connection, Lane
from coatcheck.stores._postgres_url import parse

WAIT_S = 5.0


async def look(url: str, *, over_since: int | None) -> tuple[dict[str, str], int | None]:
    """
    Return what the server says, and how many sessions were over before *over_since*.

    Args:
        over_since: None where the tables cannot be asked.

    Raises:
        StoreUnusable: It lets nobody in. StoreUnavailable: it does not answer.
    """
    settings = parse(url)
    lane = Lane(Connector(settings).connect, begin=begin(WAIT_S), size=1, wait_s=WAIT_S)

    async def ask(connection: Connection) -> tuple[dict[str, str], int | None]:
        said = await connection.fetchrow(
            "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, "
            "(SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user) AS is_superuser"
        )
        over = None
        if over_since is not None:
            counted = f"SELECT count(*) FROM {settings.schema}.sessions WHERE least(expires_at, seen_at + idle_s) < $1"
            over = int(await connection.fetchval(counted, over_since))
        # The user and the hosts, as the URL shows them to people.
        return {"server": settings.shown, **{name: str(value) for name, value in said.items()}}, over

    try:
        return await lane.read(ask)
    finally:
        await lane.close()
