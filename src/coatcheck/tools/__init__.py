"""
The tools that run in the browser only, and the list of them. Floor 6; may import: nothing but Python's own library.

A tool is one entry of :data:`TOOLS` and one folder of that name in ``pages/``; README.md says how one is added. What
becomes of the two is said in :mod:`.build`.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tool:
    """
    One page.

    Attributes:
        name: Its folder in ``pages/``, its address and its file.

        title: What it is called, in the title of the tab and in the heading. short: in the row of links.

        about: One sentence, on the page that lists all, and under the heading.
    """

    name: str
    title: str
    short: str
    about: str


INDEX = Tool(
    name="index",
    title="Tools",
    short="All tools",
    about="For the moment when sign-in misbehaves. Each is one page that runs in this tab and asks nobody.",
)
TOOLS: tuple[Tool, ...] = (
    Tool(
        name="jwt",
        title="JWT decoder",
        short="JWT",
        about="Read a token, see what is wrong with it, and verify its signature with a key of yours.",
    ),
    Tool(
        name="base64",
        title="Base64 encoder and decoder",
        short="Base64",
        about="Text, hex and files, both ways at once; exact about what is not canonical, and it says what it is.",
    ),
    Tool(
        name="timestamp",
        title="Timestamp converter",
        short="Time",
        about="Numbers, dates and durations in every form and zone, and a clock that shows now.",
    ),
    Tool(
        name="cookies",
        title="Cookie reader",
        short="Cookies",
        about="Read a Set-Cookie line: what a browser does with it, what is missing, and a better line.",
    ),
    Tool(
        name="choose",
        title="Cookie, JWT or both?",
        short="Choose",
        about="A handful of plain questions, a clear verdict with its reasons, and what you give up.",
    ),
)
