"""
``coatcheck fleet``: who answers checks from memory, and how far each has come. Floor 6; may import: floors 0 to 6.

Rules of this module:

1. It only looks, and joins nothing: it reads the rows twice, a moment apart, and shows which of them moved.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from coatcheck.cli.opened import check_url, quiet
from coatcheck.cli.options import DEFAULT_URL, Json, Store, examples
from coatcheck.cli.users import output
from coatcheck.records import Nodes
from coatcheck.stores import from_url

EXAMPLES = examples(
    "coatcheck fleet",
    "coatcheck fleet --store postgresql://db/coatcheck --json",
    "coatcheck fleet --store valkey://db1,db2,db3?cluster=true",
)


def fleet(
    *,
    wait_s: Annotated[
        float | None,
        typer.Option(
            "--wait", metavar="SECONDS", min=0, max=60, help="Time between the two looks; left out: half a lease."
        ),
    ] = None,
    store: Store = DEFAULT_URL,
    as_json: Json = False,
) -> None:
    """
    Show the processes that answer from memory, their lag and their heartbeats.

    A process whose heartbeat stands still for a lease is taken for dead. With SQLite, processes on the machine need no
    row here; only services on the feed have one.
    """
    before, after = asyncio.run(_looked(store, wait_s))
    out = output(as_json)
    beats = {node.id: node.beat for node in before.rows}
    found = [_document(after, node.id, beats) for node in after.rows]
    out.document({"epoch": after.epoch, "head": after.head, "lease_s": after.lease_s, "nodes": found})
    rows = [
        (out.brief(node["label"]), node["id"][:8], str(node["lag"]), str(node["beat"]), node["state"]) for node in found
    ]
    out.table(("process", "node", "lag", "beat", "state"), rows, empty="No process answers behind a network.")


def _document(nodes: Nodes, ident: str, beats: dict[str, int]) -> dict[str, Any]:
    node = next(node for node in nodes.rows if node.id == ident)
    state = "new" if ident not in beats else "alive" if beats[ident] != node.beat else "silent"
    lag = nodes.head - node.applied if node.epoch == nodes.epoch else nodes.head
    return {"id": ident, "label": node.label, "lag": lag, "beat": node.beat, "applied": node.applied, "state": state}


async def _looked(url: str, wait_s: float | None) -> tuple[Nodes, Nodes]:
    check_url(url, "--store")
    quiet()
    store = from_url(url)
    await store.open()
    try:
        before = await store.nodes()
        if before.rows:
            await asyncio.sleep(before.lease_s / 2 if wait_s is None else wait_s)
        return before, await store.nodes()
    finally:
        await store.close()
