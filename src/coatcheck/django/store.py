"""
``request.session``, kept by Coatcheck. Floor 5; may import: floors 0 to 4, Django.

Rules of this module:

1. Who is logged in is the session's subject and its claims; Django's three keys for it are shown from there, and a
   change of them is a sign-in. So it comes from memory, and the data are not read for it.
2. A login renews the token, and ``cycle_key`` does. ``flush`` ends the session, everywhere.
3. A session that was ended meanwhile is not brought back: saving it raises UpdateError. One exception: when the
   application has just let its user prove anew who they are, another session begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from datetime import datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase, UpdateError
from django.utils import timezone
from django.utils.module_loading import import_string

from coatcheck import _carry
from coatcheck._carry import Data
from coatcheck.django.conf import engine
from coatcheck.engine import Coatcheck
from coatcheck.records import Device, Reason, Refused, Session, SignedIn

USER, BACKEND, HASH = "_auth_user_id", "_auth_user_backend", "_auth_user_hash"
EXPIRY = "_session_expiry"
OURS = "django"
"""The claim in which the session keeps how Django's user was logged in."""

_IN_CLAIMS = {BACKEND: "backend", HASH: "hash", EXPIRY: "expiry"}
_OF_SESSION = frozenset({USER, *_IN_CLAIMS})


class Kept(MutableMapping[str, Any]):
    """
    What is in a session: Django's own keys from memory, all others read at the first touch.

    Attributes:
        session: As it was when it was looked up; None where there is none. own: Django's own keys, as they are now.
    """

    def __init__(self, session: Session | None) -> None:
        self.session = session
        self.own = own_keys(session)
        self._data: Data | None = Data({}) if session is None else None

    @property
    def data(self) -> Data:
        """All other keys."""
        if self._data is None:
            self._data = engine().run(lambda auth: _carry.read(auth, self.session))
        return self._data

    def read(self) -> None:
        """Read them now."""
        _ = self.data

    @property
    def is_read(self) -> bool:
        """Whether they were."""
        return self._data is not None

    def moved_to(self, session: Session) -> None:
        """Everything here was just written, to that session."""
        self.session = session
        if self._data is not None:
            self._data = Data(dict(self._data), session.sid)

    def __getitem__(self, key: str) -> Any:
        return self.own[key] if key in _OF_SESSION else self.data[key]

    def __setitem__(self, key: str, value: Any) -> None:
        (self.own if key in _OF_SESSION else self.data)[key] = value

    def __delitem__(self, key: str) -> None:
        del (self.own if key in _OF_SESSION else self.data)[key]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.own, *self.data])

    def __len__(self) -> int:
        return len(self.own) + len(self.data)

    def __contains__(self, key: object) -> bool:
        return key in self.own if key in _OF_SESSION else key in self.data


def own_keys(session: Session | None) -> dict[str, Any]:
    """Return Django's own keys, as the session tells them."""
    if session is None:
        return {}
    said = session.claims.get(OURS)
    found = {} if session.sub is None else {USER: session.sub}
    if isinstance(said, Mapping):
        found |= {key: said[name] for key, name in _IN_CLAIMS.items() if name in said}
    return found


class SessionStore(SessionBase):
    """
    Django's session, kept by Coatcheck: ``SESSION_ENGINE = "coatcheck.django"``.

    Attributes:
        find_device: Tells where the request comes from, for the list of devices.

        amr, claims: Set before the session is saved, they say how its user has just proved who they are, and what else
            is said of them.

        was_flushed: Whether the application has ended the session in this request.

        must_prove: Whether its user's password was changed in this request: then it goes on only if Django says so.
    """

    _session_key: Any
    _session_cache: Any

    def __init__(self, session_key: str | None = None) -> None:
        # Not the base's: it looks up a serializer that nobody needs here, at every request.
        self._session_key = session_key
        self.accessed = self.modified = False
        self.find_device: Callable[[], Device | None] = lambda: None
        self.amr: tuple[str, ...] | None = None
        self.claims: Mapping[str, Any] | None = None
        self.was_flushed = False
        self.must_prove = False
        self._brought: Session | None = None  # as the request came with it

    @property
    def serializer(self) -> Any:
        """What Django's ``encode`` and ``decode`` use; nothing here does."""
        return import_string(settings.SESSION_SERIALIZER)

    # --- reading ---

    @property
    def record(self) -> Session | None:
        """Coatcheck's session, looked up in memory; None where there is none."""
        self._get_session()
        cache = self._session_cache
        return cache.session if isinstance(cache, Kept) else None

    def look(self) -> None:
        """Look the session up now, before the application asks for it. Raises like :meth:`load`."""
        self._session_cache = Kept(None) if self.session_key is None else self.load()

    async def alook(self) -> None:
        """See :meth:`look`; nobody waits on the event loop."""
        self._session_cache = Kept(None) if self.session_key is None else await self.aload()

    def load(self) -> Kept:
        """
        Look the session up: in memory, if it is there.

        Raises:
            StoreUnavailable: It is not, and the store does not answer.
        """
        return self._taken(self._look())

    async def aload(self) -> Kept:
        """See :meth:`load`; nobody waits on the event loop."""
        return self._taken(self._look_now() or await sync_to_async(self._look)())

    def _taken(self, found: Session | Refused) -> Kept:
        if isinstance(found, Refused):
            self._session_key = None
            return Kept(None)
        self._brought = found
        return Kept(found)

    def _look(self) -> Session | Refused:
        found = engine().check(self.session_key or "", touch=False)
        return self._judged(found)

    def _look_now(self) -> Session | Refused | None:
        found = engine().check_now(self.session_key or "", touch=False)
        return None if found is None else self._judged(found)

    def _judged(self, found: Session | Refused) -> Session | Refused:
        if isinstance(found, Refused):
            return found
        said = found.claims.get(OURS)
        if said and "expiry" in said and _is_over(said["expiry"], found.seen_at):
            return Refused(Reason.EXPIRED)
        engine().check_now(self.session_key or "")  # it counts as activity
        return found

    async def _acache(self) -> Any:
        self.accessed = True
        if not hasattr(self, "_session_cache"):
            self._session_cache = Kept(None) if self.session_key is None else await self.aload()
        return self._session_cache

    async def _aget_session(self, no_load: bool = False) -> Any:
        cache = await self._acache()
        if isinstance(cache, Kept) and not cache.is_read:
            await sync_to_async(cache.read)()
        return cache

    async def aget(self, key: str, default: Any = None) -> Any:
        """See :meth:`SessionBase.aget`; for Django's own keys no data are read."""
        cache = await self._acache() if key in _OF_SESSION else await self._aget_session()
        return cache.get(key, default)

    def is_empty(self) -> bool:
        """Whether there is neither a session nor anything to put into one."""
        cache = getattr(self, "_session_cache", None)
        return not self.session_key and not (cache.own or cache.data if isinstance(cache, Kept) else cache)

    def exists(self, session_key: str | None) -> bool:
        """Whether there is a live session under this key."""
        return isinstance(engine().check(session_key or "", touch=False), Session)

    # --- writing ---

    def create(self) -> None:
        """Begin a session under a new key, with what is in this one."""
        self._keep(engine().run(lambda auth: _begin(auth, self._wanted())))
        self.modified = True

    def save(self, must_create: bool = False) -> None:
        """
        Write what changed; a login, or another sign of who it is, renews the key.

        Raises:
            UpdateError: The session was ended meanwhile. InvalidInput: a value cannot be kept; its key is named.

            StoreUnavailable: Nothing was written, or it is not known.
        """
        key, cache = self.session_key, self._get_session(no_load=must_create)
        if key is None or must_create:
            return self.create()
        if isinstance(cache, Kept):
            self._keep(engine().run(lambda auth: _update(auth, key, cache, self._wanted())))
        return None

    def delete(self, session_key: str | None = None) -> None:
        """End the session, this one or that under another key. When it returns no process accepts it."""
        key = self.session_key if session_key is None else session_key
        found = engine().check(key or "", touch=False)
        if isinstance(found, Session):
            engine().revoke(found.sid, reason="ended by the application")

    def flush(self) -> None:
        """End the session, and be empty."""
        self.was_flushed = self.accessed = self.modified = True
        self.delete()
        self._session_key = None
        self._session_cache = Kept(None)

    async def aflush(self) -> None:
        """See :meth:`flush`."""
        await sync_to_async(self.flush)()

    def clear(self) -> None:
        """Remove all of it; the session itself stays."""
        cache = self._get_session()
        cache.clear()
        self.modified = True

    def cycle_key(self) -> None:
        """Go on under a new key; the old one is worth nothing, anywhere."""
        cache, key = self._get_session(), self.session_key
        self.modified = True
        device = self.find_device()
        if key is None:
            return  # it begins when it is saved, under a key that nobody has had
        done = engine().run(lambda auth: auth.renew(key, device=device))
        if isinstance(done, SignedIn):
            self._session_key = done.token.reveal()
            if isinstance(cache, Kept):
                cache.session = done.session
        else:
            self._session_key = None  # it was ended meanwhile; save() says whether another may begin

    async def acycle_key(self) -> None:
        """See :meth:`cycle_key`."""
        await sync_to_async(self.cycle_key)()

    def _get_session(self, no_load: bool = False) -> Any:
        self.accessed = True
        try:
            return self._session_cache
        except AttributeError:
            self._session_cache = Kept(None) if self.session_key is None or no_load else self.load()
        return self._session_cache

    _session = property(_get_session)

    @property
    def is_proved_anew(self) -> bool:
        """Whether the application has said in this request whose session it is: by a login, or a new password."""
        own, brought = self._get_session().own, own_keys(self._brought)
        return any(own.get(key) != brought.get(key) for key in (USER, HASH))

    def _wanted(self) -> Wanted:
        cache = self._get_session(no_load=True)
        return Wanted(cache, self)

    def _keep(self, done: SignedIn | Session | None) -> None:
        if done is None:
            self._session_key = None
            raise UpdateError
        session = done.session if isinstance(done, SignedIn) else done
        if isinstance(done, SignedIn):
            self._session_key = done.token.reveal()
        self.amr = self.claims = None
        if isinstance(self._session_cache, Kept):
            self._session_cache.moved_to(session)
            self._brought = session

    @classmethod
    def clear_expired(cls) -> None:
        """Remove what is over from the store: ``manage.py clearsessions``. The engine does it by itself, too."""
        while engine().sweep():
            pass

    @classmethod
    async def aclear_expired(cls) -> None:
        """See :meth:`clear_expired`."""
        await sync_to_async(cls.clear_expired)()


class Wanted:
    """What a session is to be when it was saved."""

    def __init__(self, kept: Kept, store: SessionStore) -> None:
        own = kept.own
        self.kept = kept
        self.sub: str | None = None if own.get(USER) is None else str(own[USER])
        self.ours = {name: own[key] for key, name in _IN_CLAIMS.items() if own.get(key) is not None}
        self.amr, self.device = store.amr, store.find_device()
        self.more = dict(store.claims or {})
        self.is_proven = self.amr is not None or store.claims is not None
        self.is_proved_anew = store.is_proved_anew
        self.persistent = own.get(EXPIRY) != 0 if EXPIRY in own else not settings.SESSION_EXPIRE_AT_BROWSER_CLOSE

    @property
    def may_take_along(self) -> bool:
        """Whether the data are this subject's, or were nobody's."""
        before = self.kept.session
        return before is None or before.sub in (None, self.sub)

    def claims(self, before: Session | None) -> dict[str, Any]:
        """Return the claims of the session to be."""
        said = {} if before is None or before.sub not in (None, self.sub) else dict(before.claims)
        said |= self.more
        said.pop(OURS, None)
        return {**said, OURS: self.ours} if self.ours else said


async def _begin(auth: Coatcheck, wanted: Wanted) -> SignedIn | None:
    """Begin a session; None where its user is only known from one that was."""
    data = dict(wanted.kept.data) if wanted.kept.is_read and wanted.may_take_along else {}
    if wanted.sub is not None:
        if not wanted.is_proved_anew:
            return None
        done = await auth.sign_in(
            wanted.sub,
            claims=wanted.claims(None),
            amr=wanted.amr or (),
            device=wanted.device,
            persistent=wanted.persistent,
        )
        if data:
            await auth.update_data(done.session.sid, set=data, wait=False)
        return done
    done = await auth.start(data, device=wanted.device, persistent=wanted.persistent)
    if not data:
        # Stored at once, where an anonymous session usually is at its first write: its key may be used anywhere.
        await auth.update_data(done.session.sid, wait=False)
    if wanted.ours:
        renewed = await auth.renew(done.token, claims=wanted.claims(None))
        done = renewed if isinstance(renewed, SignedIn) else done
    return done


async def _update(auth: Coatcheck, key: str, kept: Kept, wanted: Wanted) -> SignedIn | Session | None:
    """Write; return the session as it is then, with its new token if it has one. None: it has ended."""
    found = await auth.check(key, touch=False)
    if isinstance(found, Refused):
        return await _again(auth, wanted)
    done: SignedIn | Session = found
    if found.sub is not None and found.sub != wanted.sub:
        await auth.revoke(found.sid, reason="another user in the same browser")
        return await _begin(auth, wanted)
    if found.sub != wanted.sub or own_keys(found) != wanted.kept.own or wanted.is_proven:
        renewed = await auth.renew(
            key, sub=wanted.sub, claims=wanted.claims(found), amr=wanted.amr, device=wanted.device
        )
        if isinstance(renewed, Refused):
            return await _again(auth, wanted)
        done = renewed
    change, unset = kept.data.changes() if kept.is_read else ({}, [])
    if change or unset:
        # Nobody is waited for: no process keeps data, each reads them anew.
        written = await auth.update_data(found.sid, set=change, unset=unset, wait=False)
        if isinstance(written, Refused):
            return await _again(auth, wanted)
    return done


async def _again(auth: Coatcheck, wanted: Wanted) -> SignedIn | None:
    # A change of one's own password ends all sessions, this one, too, and then Django says that it is to go on.
    return await _begin(auth, wanted) if wanted.sub is not None else None


def _is_over(expiry: Any, seen_at: int) -> bool:
    if isinstance(expiry, str):
        at = datetime.fromisoformat(expiry)
        now = timezone.now()
        return bool(now >= (timezone.make_aware(at) if timezone.is_aware(now) and timezone.is_naive(at) else at))
    return isinstance(expiry, int) and expiry != 0 and engine().clock.now() >= seen_at + expiry
