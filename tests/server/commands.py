"""The command, on the files of a running server."""

import asyncio

from coatcheck.cli import main


async def command(site, *argv):
    """Run the command as somebody on the server's machine would."""
    url = f"sqlite:///{site.database._name}"
    done = await asyncio.to_thread(main, [*argv, "--store", url, "--database", url])
    assert done == 0


async def restored(site):
    """Make a backup and put it back."""
    backup = f"{site.database._name}.backup"
    await command(site, "backup", backup)
    await command(site, "restore", backup, "--yes")
