"""
One run: start everything, do the faults, stop everything, have it judged.

Rules of this module:

1. What is done, and when, is :mod:`soak.faults`'s; it is noted in the history with its interval.
2. A worker that ends by itself, or does not go on working when the faults are over, is a fault.
3. Whatever happens, every process that was started here ends with the run, and nothing stays but the history.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec

from soak import faults, proxy, report
from soak.history import Recorder, now
from soak.injector import Injector, Network
from soak.members import Member
from soak.places import Clocks, Place, PostgresPlace, SmallDisk, SQLitePlace
from soak.valkey import ClusterPlace, ReplicatedPlace
from soak.worker import Settings

_PATIENCE_S = 60.0
_MOST = 6.0  # times as long as asked for, where so much is needed to do enough
_LIVES_AGAIN = 40  # checks from memory after the last fault: then a process goes on


STORES = ("sqlite", "postgres", "valkey", "valkey-cluster")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """
    What to run.

    Attributes:
        store: One of :data:`STORES`.

        workers: Processes with an engine; one more has a verifier only.

        kinds: Of faults; empty: all that can be done here.
    """

    store: str = "sqlite"
    duration_s: float = 20.0
    seed: str = "1"
    workers: int = 4
    kinds: tuple[str, ...] = ()
    folder: str = ""


class Run:
    """
    A run under way.

    Attributes:
        history: The folder that the history is written to.

        kinds: Of faults, what is to be done. skipped: what cannot be done here, and why.
    """

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.history = folder / "history"
        self.history.mkdir()
        self.recorder = Recorder(self.history, "driver")
        # Beside the history's folder, not in it: whoever runs the store must be able to come here.
        self.base = Path(tempfile.mkdtemp(prefix="coatcheck-soak-store-"))
        self.base.chmod(0o711)
        self.disk = SmallDisk(self.base / "disk", megabytes=int(300 + options.duration_s))
        self.clocks = Clocks(self.base)
        self.place = self._make_place()
        self.secret = secrets.token_urlsafe(32)
        self.members = [Member(number, "engine") for number in range(options.workers)]
        self.members.append(Member(options.workers, "verifier"))
        self.started = 0
        self._network: Network | None = None
        self._injector: Injector | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.kinds, self.skipped = self._what_can_be_done()

    def _make_place(self) -> Place:
        seed, lines = self.options.seed, self.options.workers + 1
        match self.options.store:
            case "postgres":
                return PostgresPlace(self.disk, self.clocks)
            case "valkey":
                return ReplicatedPlace(self.disk, self.clocks, seed=seed, lines=lines)
            case "valkey-cluster":
                return ClusterPlace(self.disk, self.clocks, seed=seed, lines=lines)
        return SQLitePlace(self.disk)

    def _what_can_be_done(self) -> tuple[list[str], dict[str, str]]:
        skipped = dict(self.place.missing)
        if self.disk.missing:
            skipped["disk"] = self.disk.missing
        if self.clocks.missing:
            skipped |= dict.fromkeys(("clock", "store_clock"), self.clocks.missing)
        asked = self.options.kinds or tuple(faults.KINDS)
        kinds = [kind for kind in asked if kind not in skipped]
        return kinds, {kind: skipped[kind] for kind in asked if kind in skipped}

    # --- processes ---

    async def _spawn(self, module: str, first: Any, log: str, **environment: str) -> asyncio.subprocess.Process:
        with (self.folder / log).open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
            )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(first) + b"\n")
        return process

    def _settings(self, process: str, role: Any, port: int | None) -> Settings:
        seed = f"{self.options.seed} {process}"
        return Settings(
            process=process,
            role=role,
            url=self.place.url(port),
            folder=str(self.history),
            seed=seed,
            secret=self.secret,
            started=self.started,
        )

    async def _begin_life(self, member: Member) -> None:
        """Start a worker, or start it anew."""
        member.life += 1
        member.is_to_end = member.was_ahead = False
        member.ready.clear()
        member.gone.clear()
        port = None if self._network is None else self._network.ports[member.number]
        settings = self._settings(member.name, member.role, port)
        clock = self.clocks.environment(str(member.number))
        member.process = await self._spawn("soak.worker", settings, f"log-{member.name}", **clock)
        self._start_task(self._follow(member, member.process))

    async def _follow(self, member: Member, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        name = member.name
        while line := await process.stdout.readline():
            member.hear(msgspec.json.decode(line))
        code = await process.wait()
        self.clocks.forget(process.pid)
        member.dies()
        member.gone.set()
        if not member.is_to_end or code > 0:
            log = (self.folder / f"log-{name}").read_text(errors="replace").strip().splitlines()
            last = log[-1][:300] if log else "nothing was said"
            self.recorder.note("crash", now(), process=name, note=f"a worker ended by itself ({code}): {last}")

    def _start_task(self, coroutine: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _once(self, role: str) -> None:
        """Run a process that does one thing and ends."""
        process = await self._spawn("soak.worker", self._settings(f"{role}.1", role, None), f"log-{role}")
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            log = (self.folder / f"log-{role}").read_text(errors="replace")
            raise RuntimeError(f"the process that was to {role} failed:\n{log[-2000:]}")

    # --- the whole ---

    @contextlib.asynccontextmanager
    async def everything(self) -> AsyncIterator[None]:
        """Start the store, the network and the workers; end them whatever happens."""
        try:
            await asyncio.to_thread(self.place.start)
            await self._once("prepare")
            address = self.place.address()
            if address is not None:
                await self._start_proxy(*address)
            self.started = now()
            for member in self.members:
                await self._begin_life(member)
            async with asyncio.timeout(_PATIENCE_S):
                for member in self.members:
                    if not await member.begins():
                        raise RuntimeError(f"worker {member.name} ended before it began: see its log")
            yield
        finally:
            await self._end_everything()

    async def _start_proxy(self, host: str, port: int) -> None:
        start = proxy.Start(host, port, len(self.members), self.options.seed)
        self._network = Network(await self._spawn("soak.proxy", start, "log-proxy"))
        await self._network.open()

    async def _end_everything(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        processes = [member.process for member in self.members if member.process is not None]
        for process in [*processes, *([self._network.process] if self._network else [])]:
            if process.returncode is None:
                process.kill()  # a stopped process, too
                await process.wait()
            self.clocks.forget(process.pid)
        self.recorder.close()
        try:
            await asyncio.to_thread(self.place.stop)
        finally:
            self.disk.close()
            shutil.rmtree(self.base, ignore_errors=True)

    async def go(self, show: Callable[[str], None]) -> None:
        """Let the workers work, and do the faults."""
        plan = faults.plan(
            self.options.seed,
            duration_s=self.options.duration_s,
            engines=self.options.workers,
            verifiers=1,
            kinds=self.kinds,
            lease_s=self.place.lease_s,
        )
        self._injector = injector = Injector(
            self.recorder,
            self.members,
            place=self.place,
            disk=self.disk,
            clocks=self.clocks,
            network=self._network,
            begin_life=self._begin_life,
        )
        begun = time.monotonic()
        doing = [self._start_task(injector.do(fault, begun)) for fault in plan]
        while (passed := time.monotonic() - begun) < self.options.duration_s or not all(one.done() for one in doing):
            for one in doing:
                if one.done():
                    one.result()
            show(self._progress(passed))
            await asyncio.sleep(0.25)
        for one in doing:
            one.result()
        # A busy machine does less in the same time: then it is given more.
        while time.monotonic() - begun < _MOST * self.options.duration_s and not self._enough():
            show(self._progress(time.monotonic() - begun))
            await asyncio.sleep(0.25)
        await self._all_go_on()
        await self._stop_workers()

    def _enough(self) -> bool:
        duration_s = self.options.duration_s
        return (
            sum(member.ended for member in self.members) >= report.ENDED_PER_S * duration_s
            and sum(member.counted["warm"] for member in self.members) >= report.WARM_PER_S * duration_s
            and sum(member.counted["verified"] for member in self.members) >= report.VERIFIED_PER_S * duration_s
        )

    def _progress(self, passed: float) -> str:
        accepted = sum(member.accepted for member in self.members)
        ended = sum(member.ended for member in self.members)
        return (
            f"{passed:5.1f} s of {self.options.duration_s:.0f}, {ended} revocations, "
            f"{accepted} from memory, {0 if self._injector is None else self._injector.done.total()} faults"
        )

    async def look(self) -> None:
        """Check everything once more, with an engine that has seen nothing yet."""
        await self._once("look")

    async def _all_go_on(self) -> None:
        """Wait until every process answers from memory again."""
        assert self._injector is not None
        for member in self.members:
            if member.role == "verifier" and member.was_ahead:
                # No calendar of ours runs back, so to this one every access token is over. A new process reads it anew.
                await self._injector.begin_again(member)
        before = [(member, member.accepted) for member in self.members]
        try:
            async with asyncio.timeout(_PATIENCE_S):
                for member, accepted in before:
                    await member.reaches(accepted + _LIVES_AGAIN)
        except TimeoutError:
            for member, accepted in before:
                if member.accepted < accepted + _LIVES_AGAIN:
                    text = f"answers nothing from memory, {_PATIENCE_S:.0f} s after the last fault"
                    self.recorder.note("crash", now(), process=member.name, note=text)

    async def _stop_workers(self) -> None:
        for member in self.members:
            member.is_to_end = True
            await member.tell(do="stop")
        for member in self.members:
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    await member.gone.wait()
            except TimeoutError:
                text = f"does not end when told to; log-{member.name} says what it waits for"
                self.recorder.note("crash", now(), process=member.name, note=text)
                member.signal(signal.SIGUSR2)
                await asyncio.sleep(1)
                member.signal(signal.SIGKILL)


def make_folder(options: Options) -> Path:
    """Return a new folder for the history and the logs of the run."""
    return Path(tempfile.mkdtemp(prefix="coatcheck-soak-", dir=options.folder or None))
