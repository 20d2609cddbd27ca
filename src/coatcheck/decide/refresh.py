"""
What to do with a refresh token. Floor 1; may import: floor 0.

The table of the design, section 6, as one pure function: every combination of what was presented and what the row says
has exactly one verdict.
"""

from __future__ import annotations

import enum

from coatcheck.records import Family


class Verdict(enum.Enum):
    """What to do."""

    NOT_GENUINE = "not_genuine"  # refuse; nothing is revoked, else a guesser could sign people out
    WRONG_CLIENT = "wrong_client"  # refuse
    ROTATE = "rotate"  # compare-and-swap to the next generation, answer with the successor
    AGAIN = "again"  # answer with the same successor; nothing changes
    THEFT = "theft"  # end the session
    ROLLED_BACK = "rolled_back"  # the store has lost a write: end the session


def judge(family: Family, generation: int, *, is_genuine: bool, client_id: str, now: int, grace_s: int) -> Verdict:
    """
    Judge a refresh token that names *family*.

    Args:
        generation: The token's. is_genuine: whether its signature is ours.

        client_id: Who presents it.

        grace_s: Seconds after a rotation within which the predecessor gets the same successor again: two tabs that
            refresh at once, an answer that got lost. Longer: a thief has as much time to go unnoticed.
    """
    if not is_genuine:
        return Verdict.NOT_GENUINE
    if client_id != family.client_id:
        return Verdict.WRONG_CLIENT
    if generation == family.generation:
        return Verdict.ROTATE
    if generation > family.generation:
        return Verdict.ROLLED_BACK
    # Clocks of two processes differ a little, so the rotation may seem to be still to come. By more than the grace it
    # is a clock that was set back, and no reason for more grace.
    if generation == family.generation - 1 and abs(now - family.rotated_at) <= grace_s:
        return Verdict.AGAIN
    return Verdict.THEFT
