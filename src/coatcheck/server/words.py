"""
Times, devices and events in words that people use. Floor 6; may import: floors 0 to 2, and the database's nouns.

Rules of this module:

1. Everything is pure: what it needs is an argument, the time too.
2. What comes back may hold hostile text (a program names itself as it likes). Whoever shows it escapes it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from coatcheck.clock import DAY, HOUR, MINUTE
from coatcheck.server.database.base import Entry, Event

UNKNOWN_DEVICE = "Unknown device"
_SHOWN = 120

# Product tokens. The order matters: nearly every browser also claims to be the ones further down.
_BROWSERS = {
    "Edg": "Edge",
    "EdgA": "Edge",
    "EdgiOS": "Edge",
    "OPR": "Opera",
    "OPT": "Opera",
    "Vivaldi": "Vivaldi",
    "DuckDuckGo": "DuckDuckGo",
    "Ddg": "DuckDuckGo",
    "SamsungBrowser": "Samsung Internet",
    "Firefox": "Firefox",
    "FxiOS": "Firefox",
    "HeadlessChrome": "Chrome",
    "Chrome": "Chrome",
    "CriOS": "Chrome",
    "Safari": "Safari",
}
# Words anywhere in the text. An iPhone also says "Mac OS X", and Android also says "Linux".
_SYSTEMS = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Macintosh": "macOS",
    "CrOS": "ChromeOS",
    "Linux": "Linux",
    "X11": "Linux",
}
_PRODUCT = re.compile(r"([A-Za-z][A-Za-z0-9._-]{0,30})/", re.ASCII)
_UNITS = ((365 * DAY, "year"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"))


def device_in_words(user_agent: str | None) -> str:
    """Return "Firefox on Windows". A hint for people who look for what they lost; nothing may depend on it."""
    text = user_agent or ""
    products = _PRODUCT.findall(text)
    browser = next((word for product, word in _BROWSERS.items() if product in products), None)
    system = next((word for mark, word in _SYSTEMS.items() if mark in text), None)
    if browser is not None and system is not None:
        return f"{browser} on {system}"
    if products and text.startswith(products[0]) and products[0] != "Mozilla":
        return str(products[0])  # a program that says plainly what it is: "curl/8.5"
    return browser or (f"A browser on {system}" if system else UNKNOWN_DEVICE)


def own_words(user_agent: str | None) -> str | None:
    """Return the start of what an unknown device says of itself; None when :func:`device_in_words` knows it."""
    if not user_agent or device_in_words(user_agent) != UNKNOWN_DEVICE:
        return None
    shown = "".join(letter if letter.isprintable() else " " for letter in user_agent)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"


def span(seconds: int) -> str:
    """Return "12 minutes", "1 hour" or "14 days": the largest whole unit; never less than a minute."""
    size, unit = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    number = max(1, seconds // size)
    return f"{number} {unit}{'' if number == 1 else 's'}"


def relative(at: int, now: int) -> str:
    """Return "12 minutes ago", "in 3 days" or, for what is less than a minute away, "just now"."""
    if abs(now - at) < MINUTE:
        return "just now"
    return f"{span(now - at)} ago" if at < now else f"in {span(at - now)}"


def exact(at: int) -> str:
    """Return "5 March 2027, 09:04 UTC". The server cannot know the visitor's time zone, so it names its own."""
    then = datetime.fromtimestamp(at, UTC)
    return f"{then.day} {then:%B %Y, %H:%M} UTC"


def machine(at: int) -> str:
    """Return the time for the ``datetime`` attribute of a ``<time>`` element."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


EVENTS = {
    Event.SET_UP: "Server set up",
    Event.SET_UP_FAILED: "Set-up failed",
    Event.SIGN_IN: "Signed in",
    Event.SIGN_IN_FAILED: "Sign-in failed",
    Event.FRESH_FAILED: "Wrong password, asked for once more",
    Event.SIGN_OUT: "Signed out",
    Event.SESSION_ENDED: "Device signed out",
    Event.RENEWED: "Password entered once more",
    Event.PASSWORD_CHANGED: "Password changed",
    Event.PASSWORD_RESET: "Password reset",
    Event.USER_ADDED: "User added",
    Event.DISABLED: "User disabled",
    Event.ENABLED: "User enabled",
    Event.PROMOTED: "Made an administrator",
    Event.DEMOTED: "No longer an administrator",
    Event.EVERYONE_ENDED: "Everyone signed out",
    Event.CLIENT_ADDED: "Client added",
    Event.CLIENT_SECRET: "Client got a new secret",
    Event.CLIENT_DISABLED: "Client disabled",
    Event.THEFT: "Stolen token used",
    Event.KEYS: "Keys changed",
    Event.RESTORED: "Restored from a backup",
    Event.PANIC: "Emergency: all ended, keys changed",
    Event.SUPPRESSED: "More of the same, not kept",
}
_WHY = {
    "wrong_code": "wrong code",
    "set_up_already": "set up already",
    "name_taken": "the name is taken",
}
_EXTENT = {"all": "all devices", "but this": "all devices but the one in use"}


_SAID = frozenset({"why", "all", "admin", "name", "name_hash", "event", "count", "made_at", "as_it_was"})


def remark(entry: Entry) -> str:
    """Return what an audit entry adds to its event: "wrong password", "all devices", "as an administrator"; or ""."""
    detail, found = entry.detail, []
    if "why" in detail:
        found.append(_WHY.get(str(detail["why"]), str(detail["why"])))
    if "all" in detail:
        found.append(_EXTENT.get(str(detail["all"]), str(detail["all"])))
    if detail.get("admin") is True:
        found.append("as an administrator")
    if "count" in detail:
        known = {event.value: title for event, title in EVENTS.items()}
        found.append(f"{detail['count']} times “{known.get(str(detail.get('event')), 'something')}”")
    if isinstance(detail.get("made_at"), int):
        found.append(f"made on {exact(detail['made_at'])}")
    if detail.get("as_it_was") is True:
        found.append("accounts as they were then")
    found += [f"{key.replace('_', ' ')}: {value}" for key, value in detail.items() if key not in _SAID]
    return ", ".join(found)
