"""
One process of the soak: ``python -m soak.worker``. What it is to be comes as the first line on its standard input.

Rules of this module:

1. It ends with its parent, whatever happens: by its input's end, and by a signal of the kernel's where there is one.
2. What goes wrong in the background, and would only be logged, is written down as a crash.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import random
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from coatcheck import Coatcheck, CoatcheckError, Policy, Refused, Session, StoreUnavailable, Verifier
from soak.board import Board, name
from soak.history import Recorder, now
from soak.looking import PAUSE_S, Hot, Looking, describe
from soak.story import AUDIENCE, Story

ISSUER = "https://soak.example.com"
POLICY = Policy(sessions_per_subject=10_000, access_s=3600, refresh_grace_s=1)
# Every other engine reads what it holds again and again, as a small cache would: many readings meet many changes.
OFTEN = Policy(sessions_per_subject=10_000, access_s=3600, refresh_grace_s=1, reread_s=1)
WRITERS = 4
REPORT_S = 0.25
FLOOD = 64  # callers at once
_PR_SET_PDEATHSIG = 1

log = logging.getLogger("coatcheck")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """
    What one process is to be.

    Attributes:
        process: ``number.life``. role: ``engine``; ``verifier``; ``prepare``: make the store ready; ``look``: check
            everything once more with an engine that has seen nothing yet.

        pause_s: A writer waits up to this long between two writes.
    """

    process: str
    role: Literal["engine", "verifier", "prepare", "look"]
    url: str
    folder: str
    seed: str
    secret: str
    started: int
    pause_s: float = 0.03


class _Crashes(logging.Handler):
    """Writes down what is logged with a traceback: a fault of ours that nobody else would hear of."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(logging.ERROR)
        self._recorder = recorder

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._recorder.note("crash", now(), note=f"{record.getMessage()}: {describe(error)}")


class Worker:
    """The life of one process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = Path(settings.folder)
        self.recorder = Recorder(self.folder, settings.process)
        self.stop = asyncio.Event()
        self._stories: list[Story] = []
        self._floods: set[asyncio.Task[None]] = set()
        log.addHandler(_Crashes(self.recorder))
        asyncio.get_running_loop().set_exception_handler(self._unhandled)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error, future = context.get("exception"), context.get("future")
        if isinstance(error, OSError) and future is not None and not isinstance(future, asyncio.Task):
            return  # a connection of the driver's broke while nobody waited for it any more
        told = describe(error) if error is not None else str(context.get("message"))
        self.recorder.note("crash", now(), note=f"in the background: {told}")

    def engine(self) -> Coatcheck:
        """Return an engine that is not open yet."""
        number = self.settings.process.partition(".")[0]
        policy = OFTEN if number.isdecimal() and int(number) % 2 else POLICY
        return Coatcheck(self.settings.url, policy=policy, issuer=ISSUER, secret=self.settings.secret)

    @contextlib.asynccontextmanager
    async def opened(self, make: Any) -> AsyncIterator[Any]:
        """Open what *make* returns, again and again until the store answers; close it at the end."""
        while True:
            begin, thing = now(), make()
            try:
                await thing.open()
                break
            except StoreUnavailable:
                if self.stop.is_set():
                    raise
                await asyncio.sleep(0.1)
        self.recorder.note("open", begin)
        tell(ready=True)
        try:
            yield thing
        finally:
            try:
                await thing.close()
            except StoreUnavailable as error:
                log.warning("not closed cleanly: %s", error)

    # --- roles ---

    async def run(self) -> None:
        """Be what the settings say."""
        try:
            await getattr(self, f"_be_{self.settings.role}")()
        except StoreUnavailable:
            if not self.stop.is_set():
                raise
        finally:
            self.recorder.close()

    async def _be_prepare(self) -> None:
        async with self.opened(self.engine):
            pass

    async def _be_engine(self) -> None:
        board = Board(self.folder / "board", recent=True)
        async with self.opened(self.engine) as auth:
            looking = Looking(self.recorder, lambda jwt: auth.verify(jwt, audience=AUDIENCE), auth)
            settings = self.settings
            story = Story(auth, self.recorder, board, looking, seed=settings.seed, started=settings.started)
            self._stories.append(story)
            self._flooded = auth, looking
            writers = [
                asyncio.create_task(story.write(pause_s=settings.pause_s), name=f"w{number}")
                for number in range(WRITERS)
            ]
            await self._look(looking, story.hear, story)
            story.stopping = True
            await asyncio.gather(*writers, *self._floods)
            await looking.settle()
            report(looking, story)

    async def _be_verifier(self) -> None:
        board = Board(self.folder / "board", recent=True)
        async with self.opened(lambda: Verifier(ISSUER, audience=AUDIENCE, feed=self.settings.url)) as verifier:
            looking = Looking(self.recorder, verifier.verify, None)

            def hear() -> None:
                for ticket in board.news():
                    if ticket.kind == "j":
                        looking.add(ticket)

            await self._look(looking, hear, None)
            report(looking, None)

    async def _look(self, looking: Looking, hear: Any, story: Story | None) -> None:
        reported = 0.0
        while not self.stop.is_set():
            hear()
            try:
                looking.look()
            except Exception as error:
                self.recorder.note("crash", now(), note=f"a check raised {describe(error)}")
                await asyncio.sleep(0.1)
            if time.monotonic() - reported > REPORT_S:
                reported = time.monotonic()
                report(looking, story)
            await asyncio.sleep(PAUSE_S)

    async def _be_look(self) -> None:
        """Check every token there is, read all data, and refresh what can be refreshed."""
        board = Board(self.folder / "board")
        tickets = board.all()
        async with self.opened(self.engine) as auth:
            looking = Looking(self.recorder, lambda jwt: auth.verify(jwt, audience=AUDIENCE), auth)
            story = Story(auth, self.recorder, board, looking, seed="last", started=self.settings.started)
            slots = asyncio.Semaphore(16)
            sessions = {ticket.text: ticket for ticket in tickets if ticket.kind == "s"}
            await asyncio.gather(*(self._last_check(auth, text, slots) for text in sessions))
            await asyncio.gather(*(self._last_read(auth, sid, slots) for sid in {t.sid for t in sessions.values()}))
            for ticket in tickets:
                if ticket.kind == "j":
                    looking.verify(Hot(ticket))
            newest = {ticket.sid: ticket for ticket in tickets if ticket.kind == "r"}
            for ticket in newest.values():
                await story.present(ticket)

    async def _last_check(self, auth: Coatcheck, text: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            begin = now()
            found = await auth.check(text)
            if isinstance(found, Session):
                said = str(found.claims.get("n", ""))
                self.recorder.fold(begin, now(), "check", "ok", "", found.sid, name(text), found.version, said, False)
            else:
                self.recorder.fold(begin, now(), "check", "refused", str(found.reason), "", name(text), 0, "", False)

    async def _last_read(self, auth: Coatcheck, sid: str, slots: asyncio.Semaphore) -> None:
        async with slots:
            begin = now()
            found = await auth.data(sid)
            if isinstance(found, Refused):
                self.recorder.note("read_data", begin, sid=sid, outcome="refused", reason=str(found.reason))
            else:
                self.recorder.note("read_data", begin, sid=sid, data=found)

    # --- what it is told ---

    async def obey(self, commands: asyncio.StreamReader) -> None:
        """Do what stands on the standard input until it ends."""
        while line := await commands.readline():
            command = msgspec.json.decode(line)
            if command["do"] == "flood" and self._stories:
                flood = asyncio.create_task(self._flood(command["for_s"]))
                self._floods.add(flood)
                flood.add_done_callback(self._floods.discard)
            elif command["do"] == "stop":
                break
        self.stop.set()

    async def _flood(self, for_s: float) -> None:
        """Present made-up tokens as fast as they can be made up."""
        auth, looking = self._flooded
        until = time.monotonic() + for_s

        async def caller() -> None:
            while time.monotonic() < until and not self.stop.is_set():
                begin = now()
                try:
                    found = await auth.check(secrets.token_urlsafe(32))
                except StoreUnavailable:
                    looking.count_unavailable("made-up", begin)
                    await asyncio.sleep(0.02)
                except CoatcheckError as error:
                    self.recorder.note("crash", begin, note=f"a made-up token raised {describe(error)}")
                else:
                    outcome, reason = ("ok", "") if found else ("refused", str(found.reason))
                    self.recorder.fold(begin, now(), "check", outcome, reason, "", "made-up", 0, "", False)
                    looking.counted["made up"] += 1

        await asyncio.gather(*(caller() for _ in range(FLOOD)))


def report(looking: Looking, story: Story | None) -> None:
    """Tell the driver how far we are."""
    tell(counted=dict(looking.counted), ended=0 if story is None else story.ended)


def tell(**said: Any) -> None:
    """Write a line for the driver."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(msgspec.json.encode(said).decode() + "\n")
        sys.stdout.flush()


def tell_where() -> None:
    """Write to the log what every task waits for: the driver asks for it when somebody does not end."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone. Where it cannot, the input's end does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def main() -> None:
    """Run one process."""
    commands = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR2, tell_where)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    settings = msgspec.json.decode(await commands.readline(), type=Settings)
    random.seed(settings.seed)
    worker = Worker(settings)
    obeying = asyncio.create_task(worker.obey(commands))
    try:
        await worker.run()
    finally:
        obeying.cancel()


if __name__ == "__main__":
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's; it ends us
    asyncio.run(main())
