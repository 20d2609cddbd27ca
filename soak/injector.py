"""
Does what the plan says, and notes in the history what was done to whom, from when to when.

Rules of this module:

1. A fault is over when it is noted: what was set is set back, what was stopped goes on.
2. What cannot be done as planned is a failure of the run, and raised.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from soak.faults import Fault
from soak.history import Recorder, now
from soak.members import Member
from soak.places import Clocks, Place, SmallDisk
from soak.proxy import Move, State


class Network:
    """
    The driver's side of the proxy.

    Attributes:
        ports: One for each member.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.ports: list[int] = []
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Hear which ports there are."""
        assert self.process.stdout is not None
        self.ports = msgspec.json.decode(await self.process.stdout.readline())

    async def become(self, state: State | Move) -> None:
        """Have a line behave so from now on, or lead there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        async with self._turn:
            self.process.stdin.write(msgspec.json.encode(state) + b"\n")
            await self.process.stdin.drain()
            await self.process.stdout.readline()


class Injector:
    """
    Does faults.

    Args:
        begin_life: Starts a member anew.

    Attributes:
        done: How many of each kind.
    """

    def __init__(
        self,
        recorder: Recorder,
        members: Sequence[Member],
        *,
        place: Place,
        disk: SmallDisk,
        clocks: Clocks,
        network: Network | None,
        begin_life: Callable[[Member], Awaitable[None]],
    ) -> None:
        self.done: collections.Counter[str] = collections.Counter()
        self._recorder = recorder
        self._members = members
        self._place = place
        self._small = disk
        self._clocks = clocks
        self._network = network
        self._begin_life = begin_life
        # Of the store's faults. Not a lock of threads: those who wait would take all threads from who has it.
        self._turn = asyncio.Lock()

    async def do(self, fault: Fault, begun: float) -> None:
        """Do *fault* when it is due, counted from *begun*."""
        await asyncio.sleep(max(0.0, begun + fault.at_s - time.monotonic()))
        begin = now()
        since = None
        if fault.target >= 0:
            member = self._members[fault.target]
            who = member.name
            await getattr(self, f"_{fault.kind}")(fault, member)
        else:
            who = "store"
            async with self._turn:
                begin = now()
                since = await getattr(self, f"_{fault.kind}", self._by_place)(fault)
        note = f"for {fault.for_s:g} s" + (f", by {fault.by:g} s" if fault.by else "")
        self._recorder.note("fault", begin, process=who, reason=fault.kind, since=since or 0, note=note)
        self.done[fault.kind] += 1

    # --- a process ---

    async def _kill(self, fault: Fault, member: Member) -> None:
        await self.begin_again(member)

    async def begin_again(self, member: Member) -> None:
        """Kill a process, and have a new one take its place."""
        await member.begins()  # or there would be nothing to kill
        member.is_to_end = True
        member.signal(signal.SIGKILL)
        await member.gone.wait()
        await self._begin_life(member)

    async def _pause(self, fault: Fault, member: Member) -> None:
        member.signal(signal.SIGSTOP)
        await asyncio.sleep(fault.for_s)
        member.signal(signal.SIGCONT)

    async def _torn(self, fault: Fault, member: Member) -> None:
        await member.begins()
        async with self._without_log(member):
            await asyncio.sleep(fault.for_s)  # those who write come as far as they can
            member.is_to_end = True
            member.signal(signal.SIGKILL)
            await member.gone.wait()
        await self._begin_life(member)

    @contextlib.asynccontextmanager
    async def _without_log(self, member: Member) -> AsyncIterator[None]:
        """Let what it sends arrive, and what comes next not be sent; or else hold up the log alone."""
        if self._network is None:
            async with self._turn:
                await asyncio.to_thread(self._place.hold_log)
                try:
                    yield
                finally:
                    await asyncio.to_thread(self._place.let_log_go)
        else:
            await self._network.become(State(line=member.number, answers="swallow"))
            yield
            await self._network.become(State(line=member.number))

    async def _flood(self, fault: Fault, member: Member) -> None:
        await member.tell(do="flood", for_s=fault.for_s)
        await asyncio.sleep(fault.for_s)

    async def _clock(self, fault: Fault, member: Member) -> None:
        member.was_ahead |= fault.by > 0
        await self._set(str(member.number), fault)

    # --- the store ---

    async def _store_clock(self, fault: Fault) -> None:
        await self._set("store", fault)
        await asyncio.to_thread(self._place.after_clock)

    async def _set(self, who: str, fault: Fault) -> None:
        self._clocks.set(who, fault.by)
        await asyncio.sleep(fault.for_s)
        self._clocks.set(who, 0)

    async def _by_place(self, fault: Fault) -> int | None:
        """Do what only this kind of store knows; return since when it had lost what it lost."""
        loop = asyncio.get_running_loop()

        def move(line: int, port: int, *, breaks: bool) -> None:
            assert self._network is not None
            told = self._network.become(Move(line=line, port=port, breaks=breaks))
            asyncio.run_coroutine_threadsafe(told, loop).result()

        return await asyncio.to_thread(self._place.do, fault, move)

    async def _restart(self, fault: Fault) -> None:
        await asyncio.to_thread(self._place.restart)

    async def _disk(self, fault: Fault) -> None:
        until = time.monotonic() + fault.for_s
        try:
            while time.monotonic() < until:
                await asyncio.to_thread(self._small.fill)
                await asyncio.sleep(0.05)  # others give back what they do not need
        finally:
            self._small.free()
        await asyncio.to_thread(self._place.after_full_disk)

    # --- the network ---

    async def _cut(self, fault: Fault, member: Member) -> None:
        await self._behave(fault, State(line=member.number, open=False))

    async def _deaf(self, fault: Fault, member: Member) -> None:
        await self._behave(fault, State(line=member.number, answers="swallow"))

    async def _mute(self, fault: Fault, member: Member) -> None:
        await self._behave(fault, State(line=member.number, requests="swallow"))

    async def _hold(self, fault: Fault, member: Member) -> None:
        await self._behave(fault, State(line=member.number, requests="hold", answers="hold"))

    async def _slow(self, fault: Fault, member: Member) -> None:
        await self._behave(fault, State(line=member.number, delay_s=fault.by))

    async def _late(self, fault: Fault, member: Member) -> None:
        await self._behave(fault, State(line=member.number, late_s=fault.by))

    async def _behave(self, fault: Fault, state: State) -> None:
        assert self._network is not None
        await self._network.become(state)
        await asyncio.sleep(fault.for_s)
        await self._network.become(State(line=state.line))
