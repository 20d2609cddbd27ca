"""Migrating a PostgreSQL store, as ``coatcheck migrate`` does. Floor 2; may import: floor 0."""

from __future__ import annotations

from coatcheck.stores import _postgres_schema as schemas
from coatcheck.stores._postgres_connect import Connector, begin
from coatcheck.stores._postgres_lanes import Connection, Lane
from coatcheck.stores._postgres_nodes import Whereabouts
from coatcheck.stores._postgres_url import parse
from coatcheck.stores.base import LEASE_S, Migration, check_lease

WAIT_S = 60.0
LOOK_S = 5.0
"""How long to wait where nothing is changed: each command looks first, and somebody is waiting for it."""


async def migrate(url: str, *, lease_s: float | None = None, dry_run: bool = False) -> Migration:
    """
    Make the tables of the store at *url*, or bring them up to date.

    Args:
        lease_s: Change the lease of the store to this; only while no process has it open.

        dry_run: Change nothing, and say what would be done.

    Raises:
        ConfigError: *url* or *lease_s* makes no sense. StoreUnusable: it may not be done. StoreUnavailable: no answer.
    """
    if lease_s is not None:
        check_lease(lease_s)
    settings = parse(url)
    schema = settings.schema
    whereabouts = Whereabouts(schema, f"coatcheck_{schema}")
    wait_s = LOOK_S if dry_run else WAIT_S
    lane = Lane(Connector(settings).connect, begin=begin(wait_s), size=1, wait_s=wait_s)

    async def step(connection: Connection) -> Migration:
        if dry_run:
            before, after = await schemas.version_of(connection, schema), len(schemas.MIGRATIONS)
        else:
            before, after = await schemas.bring_up(connection, schema, whereabouts, make_only=False)
            if lease_s is not None:
                await schemas.set_lease(connection, schema, lease_s)
        is_there = before or not dry_run
        known_s = await connection.fetchval(f"SELECT lease_s FROM {schema}.meta") if is_there else LEASE_S
        return Migration(schema=schema, before=before, after=after, lease_s=lease_s if dry_run and lease_s else known_s)

    try:
        await lane.read(whereabouts.learn)
        return await lane.write(step, again=True)
    finally:
        await lane.close()
