"""
Times and user agents in words that people use.

Pure functions: everything they need is an argument, so they are easily tested.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3600, 86400

# The order matters: nearly every browser also claims to be the ones further down.
_BROWSERS = (
    (("Edg/", "EdgA/", "EdgiOS/"), "Edge"),
    (("OPR/", "OPT/"), "Opera"),
    (("Vivaldi/",), "Vivaldi"),
    (("SamsungBrowser/",), "Samsung Internet"),
    (("Firefox/", "FxiOS/"), "Firefox"),
    (("Chrome/", "CriOS/", "HeadlessChrome/"), "Chrome"),
    (("Safari/",), "Safari"),
)
_SYSTEMS = (
    (("iPhone",), "iPhone"),
    (("iPad",), "iPad"),
    (("Android",), "Android"),
    (("Windows",), "Windows"),
    (("Macintosh", "Mac OS X"), "macOS"),
    (("CrOS",), "ChromeOS"),
    (("Linux", "X11"), "Linux"),
)
_PROGRAM = re.compile(r"([A-Za-z][A-Za-z0-9._-]{0,30})/", re.ASCII)


def device_in_words(user_agent: str | None) -> str:
    """
    Return "Firefox on Windows" for a ``User-Agent`` header.

    It is a hint for people who look for the device they lost. Anybody can send any header, so nothing depends on it.
    """
    text = user_agent or ""
    browser, system = _first(_BROWSERS, text), _first(_SYSTEMS, text)
    if browser and system:
        return f"{browser} on {system}"
    program = _PROGRAM.match(text)
    if program and program[1] != "Mozilla":
        return program[1]  # a program says plainly what it is: "curl/8.5"
    return browser or (f"A browser on {system}" if system else "Unknown device")


def _first(known: tuple[tuple[tuple[str, ...], str], ...], text: str) -> str | None:
    return next((word for marks, word in known if any(mark in text for mark in marks)), None)


def ago(seconds: int) -> str:
    """Return "12 minutes ago" for a span in seconds. Clocks differ a little, so less than nothing is "just now"."""
    if seconds < MINUTE:
        return "just now"
    return f"{span(seconds)} ago"


def span(seconds: int) -> str:
    """Return "12 minutes", "1 hour" or "14 days": the largest whole unit, at least one minute."""
    for unit, word in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= unit:
            number = seconds // unit
            return f"{number} {word}" if number == 1 else f"{number} {word}s"
    return "1 minute"


def exact(at: int) -> str:
    """Return "5 March 2027, 09:04 UTC". The server does not know the visitor's time zone, so it names its own."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def machine(at: int) -> str:
    """Return the time as the ``datetime`` attribute of a ``<time>`` element wants it."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
