"""
What every adapter does for its framework, written once over the async engine. Floor 5; may import: floors 0 to 4.

The adapters for code without await run the same functions: ``auth.run(lambda engine: sign_in(engine, …))``.

Rules of this module:

1. A sign-in always gives a new token, and never leaves another's session behind in the same browser (ASVS 7.2.4).
2. Of a session's data only the keys that a request changed are written, so that parallel requests lose nothing of each
   other's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from coatcheck.engine import Coatcheck
from coatcheck.records import Device, Refused, Session, SignedIn
from coatcheck.secret import Secret
from coatcheck.values import encode

SIGNED_IN = "authenticated"
"""The scope that everybody has who is signed in; the name is Starlette's."""


async def sign_in(
    auth: Coatcheck,
    session: Session | None,
    token: str | Secret | None,
    sub: str,
    *,
    claims: Mapping[str, Any] | None = None,
    amr: Iterable[str] = (),
    device: Device | None = None,
    persistent: bool = True,
    generation: int | None = None,
) -> SignedIn | Refused:
    """
    Begin the session of *sub* in a browser that may have one already.

    An anonymous session goes on under a new token, with its data; so does one of the same subject, who has just proved
    again who they are. Another subject's ends.

    Args:
        session, token: What the browser brought.
    """
    if session is None or token is None:
        pass
    elif session.sub in (None, sub):
        renewed = await auth.renew(token, sub=sub, claims=claims, amr=amr, device=device, generation=generation)
        # Whatever ended it meanwhile says nothing against a new one; a change of the password is asked for there.
        if isinstance(renewed, SignedIn):
            return renewed
    else:
        await auth.revoke(session.sid, reason="another sign-in in the same browser")
    return await auth.sign_in(
        sub,
        claims=claims,
        amr=amr,
        device=device,
        persistent=persistent,
        generation=generation,
    )


class Visitor:
    """
    Whose request it is, as Starlette's ``request.user`` and ``request.auth``, and with them ``@requires``, ask for it.

    Attributes:
        session: None for an anonymous visitor.
    """

    __slots__ = ("session",)

    def __init__(self, session: Session | None) -> None:
        self.session = session if session is not None and session.sub is not None else None

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in."""
        return self.session is not None

    @property
    def identity(self) -> str:
        """The subject; empty for an anonymous visitor."""
        return "" if self.session is None else str(self.session.sub)

    @property
    def display_name(self) -> str:
        """The claim ``name`` if there is one, else the subject."""
        name = None if self.session is None else self.session.claims.get("name")
        return name if isinstance(name, str) else self.identity

    @property
    def scopes(self) -> list[str]:
        """``authenticated``, and the claim ``roles``; nothing for an anonymous visitor."""
        if self.session is None:
            return []
        roles = self.session.claims.get("roles", ())
        named = [role for role in roles if isinstance(role, str)] if isinstance(roles, (list, tuple)) else []
        return [SIGNED_IN, *(role for role in named if role != SIGNED_IN)]


NOBODY = Visitor(None)


class Data(dict[str, Any]):
    """The data of a session, for one request: a dict that knows what it was."""

    def __init__(self, found: Mapping[str, Any], sid: str | None = None) -> None:
        super().__init__(found)
        self.sid = sid
        # As text, since values can be changed in place.
        self._before = {key: encode(value) for key, value in found.items()}

    def changes(self) -> tuple[dict[str, Any], list[str]]:
        """Return what was set and which keys are gone, since it was read."""
        known = self._before
        changed = {key: value for key, value in self.items() if key not in known or not _is(value, known[key])}
        return changed, [key for key in known if key not in self]

    def move(self, sid: str | None) -> None:
        """Belong to another session from now on; nothing of one that was somebody's goes along."""
        if self.sid is not None and self.sid != sid:
            self.clear()
            self._before = {}
        self.sid = sid

    @property
    def modified(self) -> bool:
        """Whether there is something to write."""
        return self.changes() != ({}, [])


def _is(value: Any, raw: bytes) -> bool:
    try:
        return encode(value) == raw
    except Exception:
        return False  # whatever is wrong with it, the engine will say it by name


async def read(auth: Coatcheck, session: Session | None) -> Data:
    """Return the data of *session*; of one that has just ended, and of none, there are none."""
    if session is None:
        return Data({})
    found = await auth.data(session.sid)
    return Data({} if isinstance(found, Refused) else found, session.sid)


async def write(
    auth: Coatcheck, data: Data, make_device: Callable[[], Device], *, persistent: bool = True
) -> SignedIn | None:
    """
    Write what changed. Where there is no session yet, one is started for it, and returned.

    Raises:
        InvalidInput: A value is not JSON, or the data are too large; the key is named.
    """
    change, unset = data.changes()
    if not change and not unset:
        return None
    if data.sid is None:
        return await auth.start(change, device=make_device(), persistent=persistent)
    # Nobody is waited for: no process keeps data, each reads them anew. Refused: it has ended, and its data with it.
    await auth.update_data(data.sid, set=change, unset=unset, wait=False)
    return None
