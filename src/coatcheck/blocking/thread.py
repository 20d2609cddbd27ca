"""
An async object in a thread of its own, for callers that wait. Floor 4; may import: floors 0 to 3.

A plain thread with an event loop. anyio's portal would do as well until the program ends: its worker is waited for at
the exit, before anybody had the chance to close it.

Rules of this module:

1. Before a fork what is open is closed, and is opened anew at the next use, here and in the child: no connection, no
   lock and no node's name is ever in two processes. What cannot be closed then is let alone in the child.
2. At the end of the program what is open is closed, while threads can still be started for it.
3. A call from the thread itself would wait for ever; it is refused.
4. Who stops waiting (Ctrl-C) leaves nothing behind: the call is cancelled, or its answer thrown away.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # first its own hook for the end of the program, so that ours runs before it
import contextlib
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, Protocol, TypeVar

from coatcheck.errors import CoatcheckError, ConfigError, Forked, NotOpen

log = logging.getLogger("coatcheck")

T = TypeVar("T")

_PATIENCE_S = 10.0
"""How long a close, or a fork, waits for calls that are under way. Longer than any revocation takes."""


class Opened(Protocol):
    """What is opened and closed on an event loop."""

    async def open(self) -> None:
        """Open it."""

    async def close(self) -> None:
        """Close it."""


E = TypeVar("E", bound=Opened)


class LoopThread:
    """A thread that runs an event loop until it is stopped. It never keeps a program from ending."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        # Of our own, since asyncio ends its own by a new thread, which at the end of a program cannot be started.
        self._pool = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="coatcheck-pool")
        self._loop.set_default_executor(self._pool)
        self._thread = threading.Thread(target=self._work, name="coatcheck", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        loop = self._loop
        try:
            loop.run_forever()
            loop.run_until_complete(_tidy())
        finally:
            self._pool.shutdown()
            loop.close()

    @property
    def is_current(self) -> bool:
        """Whether this is the calling thread."""
        return threading.current_thread() is self._thread

    def run(self, work: Coroutine[Any, Any, T], *, most_s: float | None = None) -> T:
        """
        Wait for *work*, done there.

        Args:
            most_s: Seconds to wait at most; then TimeoutError.
        """
        if self.is_current:
            work.close()
            problem = "is called by something that it is waiting for itself"
            raise ConfigError(
                "coatcheck.blocking", problem, "call it from another thread, or use the async engine there"
            )
        future = None
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            return future.result(most_s)
        finally:
            if future is not None:
                future.cancel()  # does nothing to one that is done

    def stop(self) -> None:
        """End the loop, and what still runs on it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)


async def _tidy() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


class Kept(Generic[E]):
    """
    One async object, made and opened at the first use, again after a fork, and closed at the end.

    Args:
        make: Returns a new one. Called once at once, so that wrong settings are refused here and now.

        what: What it is called in messages.

        outlives_close: False where all would be lost with it (``memory://``): it stays open over a fork, and is
            refused in the child.
    """

    def __init__(self, make: Callable[[], E], what: str, *, outlives_close: bool = True) -> None:
        self._make = make
        self._what = what
        self._outlives_close = outlives_close
        self._fresh: E | None = make()
        self.now: E | None = None
        self._home: LoopThread | None = None
        self._turn = threading.Condition()
        self._busy = 0
        self._forks = 0
        self._fault: CoatcheckError | None = None
        with _registry:
            _all.add(self)

    def call(self, work: Callable[[E], Coroutine[Any, Any, T]]) -> T:
        """Wait for what *work* returns for the object, which is opened if need be."""
        with self._held() as (engine, home):
            return home.run(work(engine))

    def ask(self, question: Callable[[E], T]) -> T:
        """Return what *question* returns for the object, here, on the calling thread. For what does not wait."""
        self.check_usable()
        try:
            return question(self._ready())
        except NotOpen:  # closed between the two, perhaps only for a fork
            return question(self._ready())

    def _ready(self) -> E:
        engine = self.now
        if engine is None:
            with self._held() as (engine, _):
                pass
        return engine

    def open(self) -> None:
        """Open it now, again if it was closed."""
        with self._turn:
            if isinstance(self._fault, NotOpen):
                self._fault = None
        self._ready()

    def check_usable(self) -> None:
        """Raise what every call would raise, whatever it asks."""
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Close it. Calls under way are waited for, for a while; later ones raise NotOpen."""
        with self._turn:
            if self._fault is None:
                self._fault = NotOpen(f"the {self._what} is closed")
            self._turn.wait_for(lambda: not self._busy, _PATIENCE_S)
            self._close()

    @contextlib.contextmanager
    def _held(self) -> Iterator[tuple[E, LoopThread]]:
        with self._turn:
            self._turn.wait_for(lambda: not self._forks)
            self.check_usable()
            if self.now is None or self._home is None:
                self._open()
            engine, home = self.now, self._home
            self._busy += 1
        try:
            yield engine, home  # type: ignore[misc]  # both are there now
        finally:
            with self._turn:
                self._busy -= 1
                self._turn.notify_all()

    def _open(self) -> None:
        # A new object each time: what an event loop's own locks were bound to once, they are bound to for ever.
        engine, self._fresh = self._fresh or self._make(), None
        _refuse_greenlets()
        home = LoopThread()
        try:
            home.run(engine.open())
        except BaseException:
            home.stop()
            raise
        self.now, self._home = engine, home
        _open.add(self)

    def _close(self) -> None:
        engine, home, self.now, self._home = self.now, self._home, None, None
        _open.discard(self)
        if engine is None or home is None:
            return
        try:
            home.run(engine.close(), most_s=_PATIENCE_S)
        except TimeoutError:
            log.warning("the store did not let go in time", extra={"what": self._what})
        finally:
            home.stop()

    # --- forks ---

    def before_fork(self) -> None:
        """Close it, if that can be; nobody opens it until :meth:`after_fork`."""
        with self._turn:
            self._forks += 1
            if self._home is None or self._home.is_current or not self._outlives_close:
                return
            if self._turn.wait_for(lambda: not self._busy, _PATIENCE_S):
                self._close()
            else:
                log.warning("forked while a call was under way", extra={"what": self._what})

    def after_fork(self) -> None:
        """In the parent: go on."""
        with self._turn:
            self._forks -= 1
            self._turn.notify_all()

    def born(self) -> None:
        """In the child: nobody else is here, whoever held the locks."""
        self._turn = threading.Condition()
        self._busy = self._forks = 0
        if self.now is None:
            return
        # Kept for ever: to free them would take their sockets from the parent's event loop, which this process shares.
        _let_alone.append((self.now, self._home))
        self.now = self._home = None
        if not self._outlives_close:
            self._fault = Forked(
                f"the {self._what} on memory:// was in use before a fork; share a store between workers"
            )


_registry = threading.Lock()
_all: weakref.WeakSet[Kept[Any]] = weakref.WeakSet()
_open: set[Kept[Any]] = set()  # what is open stays until it is closed, whoever has forgotten it
_let_alone: list[Any] = []


def _everything() -> list[Kept[Any]]:
    with _registry:
        return list(_all)


def _before_fork() -> None:
    for kept in _everything():
        kept.before_fork()


def _after_fork() -> None:
    for kept in _everything():
        kept.after_fork()


def _born() -> None:
    global _registry  # noqa: PLW0603  a thread of the parent may have held it
    _registry = threading.Lock()
    _open.clear()
    for kept in list(_all):
        kept.born()


def _at_exit() -> None:
    for kept in list(_open):
        with contextlib.suppress(Exception):  # nobody is left to hear of it
            kept.close()


def _refuse_greenlets() -> None:
    patched = getattr(
        sys.modules.get("gevent.monkey") or sys.modules.get("eventlet.patcher"), "is_module_patched", None
    )
    is_patched = patched or getattr(sys.modules.get("eventlet.patcher"), "is_monkey_patched", None)
    if is_patched is not None and (is_patched("threading") or is_patched("thread")):
        problem = "needs real threads, and gevent or eventlet has replaced them"
        raise ConfigError("coatcheck.blocking", problem, "use threaded workers: gunicorn --worker-class gthread")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_born)

# atexit would be too late: by then no thread takes new work, and to close a store needs one. There is no public name
# for this hook; where it is gone, what is open is left to the end of its lease.
getattr(threading, "_register_atexit", atexit.register)(_at_exit)
