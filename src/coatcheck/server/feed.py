"""
The change log for services that only verify: ``POST /feed``. Floor 6; may import: floors 0 to 5.

What happens is said in :mod:`coatcheck.fleet.feeding`; what goes over the wire in ``docs/reference/feed.md``.

Rules of this module:

1. A client proves who it is by its secret, each time, and reaches its own nodes only. Public clients have none, and
   pages have no business here.
2. An answer may be held. Whether the client may have it is looked at again before it goes out.
"""

from __future__ import annotations

import re

from coatcheck.fleet import news
from coatcheck.fleet.news import News, Poll
from coatcheck.server import problems
from coatcheck.server.endpoint import Answer, Call, Endpoint
from coatcheck.server.problems import Problem

PATH = news.PATH
_NODE = re.compile("[0-9a-f]{32}", re.ASCII)


async def feed(call: Call) -> Answer | Problem:
    """
    Join, or send a heartbeat: say what is applied, and get what is new. Held for a while when nothing is.

    410 `place_lost` means: forget everything and join anew.
    """
    poll: Poll = call.body
    client, feeding = call.client, call.site.auth.feed
    if client is None:
        return problems.NOT_A_CLIENT
    if poll.node is None:
        if not poll.label.isprintable():
            return problems.invalid("label", "It holds characters that cannot be printed.")
        told, refusal = await feeding.join(client.id, poll.label), problems.TOO_MANY_NODES
    else:
        told = await feeding.beat(
            client.id, poll.node, beat=poll.beat, applied=poll.applied, epoch=poll.epoch, wait_s=poll.wait_s
        )
        refusal = problems.PLACE_LOST
    if await call.site.database.client(client.id) != client:
        return problems.NOT_A_CLIENT  # disabled, or another secret, since it asked
    return refusal if told is None else Answer(body=told)


async def leave_feed(call: Call) -> Answer | Problem:
    """Leave: nobody waits any longer until this node has applied a change. For a node that accepts nothing more."""
    if call.client is None:
        return problems.NOT_A_CLIENT
    if _NODE.fullmatch(call.path["node"]):
        await call.site.auth.feed.leave(call.client.id, call.path["node"])
    return Answer()


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=PATH,
        handler=feed,
        about="The change log, for services that only verify",
        who="client",
        body=Poll,
        answer=News,
        problems=(problems.PLACE_LOST, problems.TOO_MANY_NODES),
    ),
    Endpoint(
        method="DELETE",
        path=f"{PATH}/{{node}}",
        handler=leave_feed,
        about="Leave the feed",
        who="client",
        status=204,
    ),
)
