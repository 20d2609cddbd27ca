"""The command, on the store and the database of a running server."""

import asyncio

import pytest

from coatcheck.cli import main
from coatcheck.server.database.base import Portable


async def command(site, *argv):
    """Run the command as somebody on the server's machine would."""
    done = await asyncio.to_thread(main, [*argv, *site.options])
    assert done == 0


async def restored(site):
    """Make a backup and put it back."""
    if not isinstance(site.database, Portable):
        pytest.skip("PostgreSQL has programs of its own for that; see docs/how-to/postgresql.md")
    backup = f"{site.database._name}.backup"
    await command(site, "backup", backup)
    await command(site, "restore", backup, "--yes")
