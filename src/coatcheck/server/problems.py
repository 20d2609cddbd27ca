"""
Everything the server says no with. Floor 6; may import: nothing.

One :class:`Problem` has a stable ``code``; the JSON interface sends it as RFC 9457 problem details, pages show its
*detail* to people.
"""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """
    The answer "no".

    Attributes:
        code: Stable name, for programs. status: the HTTP status. title: what kind of problem, always the same.

        detail: What is wrong this time and what to do, for people. field: the input that it is about.

        retry_after_s: Seconds to wait before trying again.
    """

    code: str
    status: int
    title: str
    detail: str = ""
    field: str | None = None
    retry_after_s: int | None = None


NOT_SIGNED_IN = Problem(code="not_signed_in", status=401, title="Not signed in", detail="Sign in first.")
WRONG_CREDENTIALS = Problem(
    code="wrong_credentials",
    status=401,
    title="Name or password is not right",
    detail="Name or password is not right. Please try again.",
)
WRONG_PASSWORD = Problem(
    code="wrong_password",
    status=403,
    title="The password is not right",
    detail="That is not your password. Please try again.",
    field="password",
)
ENDED_MEANWHILE = Problem(
    code="ended_meanwhile",
    status=401,
    title="Your sessions were ended at this very moment",
    detail="Your sessions were ended at this very moment. Please sign in again.",
)
NOT_FRESH = Problem(
    code="not_fresh",
    status=403,
    title="Your password is needed once more",
    detail="You signed in a while ago. Enter your password once more first (POST /api/session/fresh).",
)
NOT_ADMIN = Problem(
    code="not_admin", status=403, title="Only for administrators", detail="Only administrators can do that."
)
NOT_FOUND = Problem(code="not_found", status=404, title="Not found", detail="There is nothing here.")
NAME_TAKEN = Problem(
    code="name_taken",
    status=409,
    title="The name is taken",
    detail="Somebody has that name. Choose another.",
    field="username",
)
LAST_ADMIN = Problem(
    code="last_admin",
    status=409,
    title="The last administrator",
    detail="This is the last administrator who can sign in. Promote somebody else first.",
)
CHANGED_MEANWHILE = Problem(
    code="changed_meanwhile",
    status=409,
    title="Changed meanwhile",
    detail="Somebody changed this account at the same moment. Please look again.",
)
WRONG_CODE = Problem(
    code="wrong_code",
    status=403,
    title="The set-up code is not right",
    detail="That code is not right, or its hour is over. Restart the server, and it prints a new one.",
    field="code",
)
SET_UP_ALREADY = Problem(
    code="set_up_already",
    status=409,
    title="Set up already",
    detail="This server is set up already. Locked out? Run coatcheck users add NAME --admin on its machine.",
)
BUSY = Problem(
    code="busy",
    status=503,
    title="Too many sign-ins at once",
    detail="Too many people are signing in at this moment. Please try again.",
    retry_after_s=2,
)
UNAVAILABLE = Problem(
    code="unavailable",
    status=503,
    title="Not just now",
    detail="The store does not answer. Please try again in a moment.",
    retry_after_s=5,
)


NOT_FOR_PAGES = Problem(
    code="not_for_pages",
    status=403,
    title="Not for pages",
    detail="Pages sign in with a cookie. Tokens that outlive a page are for programs only.",
)
WRONG_CLIENT = Problem(
    code="wrong_client",
    status=403,
    title="Not through this client",
    detail="There is no such client, or people may not sign in through it.",
    field="client_id",
)
WRONG_AUDIENCE = Problem(
    code="wrong_audience",
    status=403,
    title="Not for that audience",
    detail="Pages get no tokens for that audience.",
    field="audience",
)
AUDIENCE_TAKEN = Problem(
    code="audience_taken",
    status=409,
    title="The audience is taken",
    detail="Pages get tokens for it in the name of another client; disable that one first, or name another audience.",
    field="audience",
)
NOT_A_CLIENT = Problem(
    code="not_a_client",
    status=401,
    title="Not a client",
    detail="Unknown client, wrong secret, no secret at all, or disabled.",
)
PLACE_LOST = Problem(
    code="place_lost",
    status=410,
    title="Forget everything and join anew",
    detail="There is no such node, or the change log does not go on from where it was.",
)
TOO_MANY_NODES = Problem(
    code="too_many_nodes",
    status=429,
    title="Too many nodes",
    detail="This client has 16 nodes already. One that is dead is dropped within a lease.",
    retry_after_s=5,
)


def too_many(wait_s: int) -> Problem:
    """Return the problem of somebody who guesses too often."""
    return Problem(
        code="too_many_tries",
        status=429,
        title="Too many tries",
        detail=f"Too many tries went wrong. Please try again in {wait_s} {'second' if wait_s == 1 else 'seconds'}.",
        retry_after_s=wait_s,
    )


def invalid(field: str, detail: str) -> Problem:
    """Return the problem of an input that cannot be used."""
    return Problem(code="invalid", status=422, title="Something is not right", detail=detail, field=field)
