"""
Names of people: which can be used, and which are the same. Floor 6; may import: floor 0.

A name is what people type at the sign-in. It is a claim; whose session it is says the random id of the account.
"""

from __future__ import annotations

import unicodedata

NAME_LONGEST = 128


def name_key(name: str) -> str:
    """Return what two names have in common that nobody could tell apart (NFKC, case folded)."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return unicodedata.normalize("NFKC", folded)


def why_not(name: str) -> str | None:
    """Say what is wrong with *name*; None when an account can have it."""
    if not 1 <= len(name) <= NAME_LONGEST:
        return f"a name has 1 to {NAME_LONGEST} characters"
    if not name.isprintable() or any(unicodedata.category(letter) in ("Cf", "Cs", "Co", "Cn") for letter in name):
        return "a name has no control characters, no line breaks and nothing invisible"
    if name != name.strip():
        return "a name has no space at its ends"
    if not name_key(name):
        return "a name has at least one visible character"
    return None
