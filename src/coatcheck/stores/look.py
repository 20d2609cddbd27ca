"""
What a store's servers and files say of themselves. Floor 2; may import: floor 0.

For whoever looks after an installation: nothing here opens a store, and nothing is changed.
"""

from __future__ import annotations

import msgspec

from coatcheck.stores import POSTGRES, VALKEY, file_of, from_url, migrate


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was found.

    Attributes:
        before, after: Migrations that were made, and that there are.

        over: Sessions that were over long ago and are there still; None where that cannot be counted.

        servers: What each server says: ``server`` is where it is, and the rest is in its own words.
    """

    before: int
    after: int
    over: int | None = None
    servers: tuple[dict[str, str], ...] = ()


async def look(url: str, *, over_since: int) -> Look:
    """
    Look at the store that *url* names.

    Args:
        over_since: Sessions that were over before count as forgotten by the sweep.

    Raises:
        ConfigError: It names none. StoreUnusable: it may not be looked at. StoreUnavailable: it does not answer.
    """
    from_url(url)  # refuses what is no store, or lacks its driver
    scheme, _, rest = url.partition("://")
    if scheme in VALKEY:
        from coatcheck.stores import _valkey_look

        return Look(before=1, after=1, servers=await _valkey_look.look(url))  # it has no tables
    if scheme in POSTGRES:
        from coatcheck.stores import _postgres_look

        found = await migrate(url, dry_run=True)
        before, after = (found.before, found.after) if found is not None else (0, 0)
        said, over = await _postgres_look.look(url, over_since=over_since if before == after else None)
        return Look(before=before, after=after, over=over, servers=(said,))
    from coatcheck.stores import _sqlite_look

    name = file_of(rest)
    before, after = _sqlite_look.version(name)
    return Look(before=before, after=after, over=_sqlite_look.over(name, since=over_since) if before else 0)
