"""
People who sign in, look around, and are signed out, by themselves and by an administrator.

Rules of this module:

1. Whoever is kicked asks again at once: of every server by its own address, and of the service.
2. Some are left in peace, so that a session that is lost is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
from collections.abc import AsyncIterator

import httpx
from tests.machines.judge import History, Op, now
from tests.machines.town import PASSWORD, Town

MOST_DEVICES = 6
PATIENCE_S = 120


@dataclasses.dataclass(slots=True, eq=False)
class Device:
    """One session, as its browser knows it."""

    sid: str
    sub: str
    cookie: str
    jwt: str = ""


@dataclasses.dataclass(slots=True, eq=False)
class Person:
    """Somebody with an account. in_peace: nobody ends their sessions."""

    name: str
    sub: str = ""
    in_peace: bool = False
    devices: list[Device] = dataclasses.field(default_factory=list)
    known: str = ""


class Crowd:
    """The load on one town."""

    def __init__(self, town: Town, *, people: int, seed: int) -> None:
        self._town = town
        self._random = random.Random(seed)
        self.history = History()
        self._people = [Person(f"person-{number}", in_peace=number % 4 == 0) for number in range(people)]
        self._root = Person("root", in_peace=True)
        self._gone: list[Device] = []

    async def arrive(self) -> None:
        """Make the accounts, and sign everybody in."""
        root = await self._must_enter(self._root)
        for person in self._people:
            answer = await self._town.http.post(
                f"{self._town.url}/api/users",
                json={"username": person.name, "password": PASSWORD},
                headers={"cookie": root.cookie},
            )
            assert answer.status_code == 201, answer.text
        for _ in range(2):
            await asyncio.gather(*map(self._must_enter, self._people))

    @contextlib.asynccontextmanager
    async def at_work(self, *, lookers: int, kickers: int) -> AsyncIterator[None]:
        """Keep everybody busy meanwhile."""
        work = [self._enter_for_ever(), self._enter_for_ever(), *(self._look_for_ever() for _ in range(lookers))]
        work += [self._kick_for_ever() for _ in range(kickers)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def more_ends(self, count: int) -> None:
        """Wait until *count* more endings have returned."""
        count += len(self.history.of("end", 204))
        async with asyncio.timeout(PATIENCE_S):
            while len(self.history.of("end", 204)) < count:
                await asyncio.sleep(0.05)

    async def an_end_fails(self) -> None:
        """
        End what has ended, until that is refused.

        Not left to who is at work: it may be that nobody has two devices left, and nobody can sign in anew.
        """
        gone, root = self._gone[-1], self._root.devices[0].cookie
        url = f"{self._town.url}/api/users/{gone.sub}/sessions/{gone.sid}"
        async with asyncio.timeout(PATIENCE_S):
            while not self.history.of("end", 503):
                await self._ask("end", "DELETE", url, sid=gone.sid, sub=gone.sub, cookie=root)
                await asyncio.sleep(0.05)

    # --- one request ---

    async def _ask(self, kind: str, method: str, url: str, *, where: str = "nginx", cookie: str = "", **fields):
        headers = {"cookie": cookie} if cookie else {}
        headers |= fields.pop("headers", {})
        asked = {name: fields.pop(name) for name in ("json", "params") if name in fields}
        begin = now()
        try:
            answer = await self._town.http.request(method, url, headers=headers, **asked)
            status, note = answer.status_code, "" if answer.is_success else answer.text[:200]
        except httpx.HTTPError as error:
            answer, status, note = None, 0, type(error).__name__
        end = now()
        if kind == "sign_in" and status == 200:
            fields |= {"sid": answer.json()["sid"], "sub": answer.json()["sub"]}
        op = Op(kind=kind, begin=begin, end=end, where=where, status=status, note=note, **fields)
        return self.history.add(op), answer

    async def _enter(self, person: Person) -> Device | None:
        body = {"username": person.name, "password": PASSWORD}
        url = f"{self._town.url}/api/sign-in"
        _, answer = await self._ask("sign_in", "POST", url, json=body, cookie=person.known)
        if answer is None or answer.status_code != 200:
            return None
        person.known = _cookie(answer, "__Host-coatcheck-device") or person.known
        person.sub = answer.json()["sub"]
        device = Device(answer.json()["sid"], person.sub, _cookie(answer, "__Host-session"))
        person.devices.append(device)
        return device

    async def _must_enter(self, person: Person) -> Device:
        device = await self._enter(person)
        assert device is not None, self.history.ops[-1]
        return device

    async def _look(self, kind: str, device: Device, *, at: str = "", where: str = "nginx") -> Op:
        """Do one of the things that a session is for."""
        who = {"sid": device.sid, "sub": device.sub}
        if kind == "orders":
            jwt = {"authorization": f"Bearer {device.jwt}"}
            op, _ = await self._ask(kind, "GET", self._town.orders, where="service", headers=jwt, **who)
            if op.note == "unknown_key":
                device.jwt = ""  # as a program does: it asks for another
            return op
        at = at or self._town.url
        headers = {"host": self._town.url.removeprefix("http://")}
        if kind == "token":
            body = {"audience": "orders"}
            op, answer = await self._ask(
                kind, "POST", f"{at}/api/token", where=where, cookie=device.cookie, headers=headers, json=body, **who
            )
            if op.status == 200:
                device.jwt = answer.json()["access_token"]
            return op
        path = "/api/session" if kind == "session" else "/api/sessions"
        op, _ = await self._ask(kind, "GET", at + path, where=where, cookie=device.cookie, headers=headers, **who)
        return op

    # --- for ever ---

    async def _enter_for_ever(self) -> None:
        while True:
            few = [person for person in self._people if len(person.devices) < MOST_DEVICES]
            if few and await self._enter(self._random.choice(few)) is not None:
                await asyncio.sleep(self._random.uniform(0, 0.1))
            else:
                await asyncio.sleep(0.1)

    async def _look_for_ever(self) -> None:
        while True:
            device = self._random.choice(self._devices())
            kind = self._random.choices(["session", "orders", "token", "devices"], [8, 6, 1, 1])[0]
            if kind == "orders" and not device.jwt:
                kind = "token"
            if (await self._look(kind, device)).status == 503:
                await asyncio.sleep(0.05)

    def _devices(self) -> list[Device]:
        """Return those that are signed in, and some that were."""
        live = [device for person in (*self._people, self._root) for device in person.devices]
        return live + self._gone[-len(live) // 4 :]

    async def _kick_for_ever(self) -> None:
        while True:
            many = [person for person in self._people if len(person.devices) > 1 and not person.in_peace]
            if many:
                await self._kick(self._random.choice(many))
            await asyncio.sleep(self._random.uniform(0, 0.2))

    async def _kick(self, person: Person) -> None:
        kept, out = self._random.sample(person.devices, 2)
        gone = [out]
        root = self._root.devices[0].cookie
        own, others = "/api/sessions", f"/api/users/{person.sub}/sessions"
        ask = {"path": f"{own}/{out.sid}", "cookie": kept.cookie, "sid": out.sid}
        match self._random.choices(["own", "admin", "leave", "but here", "all"], [4, 4, 2, 1, 1])[0]:
            case "admin":
                ask |= {"path": f"{others}/{out.sid}", "cookie": root}
            case "leave":
                ask |= {"path": "/api/session", "cookie": out.cookie}
            case "but here":
                gone = [device for device in person.devices if device is not kept]
                ask = {"path": own, "cookie": kept.cookie, "params": {"keep": "current"}, "keep": kept.sid}
            case "all":
                gone = list(person.devices)
                ask = {"path": others, "cookie": root}
        for device in gone:
            person.devices.remove(device)
            self._gone.append(device)
        while True:
            path, fields = ask["path"], {name: value for name, value in ask.items() if name != "path"}
            op, _ = await self._ask("end", "DELETE", self._town.url + path, sub=person.sub, **fields)
            if op.status not in (0, 503):
                break
            await asyncio.sleep(0.05)  # nobody knows whether it counted: once more
        await asyncio.gather(*map(self._try_everywhere, gone[:2]))

    async def _try_everywhere(self, device: Device) -> None:
        looks = [
            self._look("session", device, at=at, where=f"server {number}") for number, at in enumerate(self._town.at)
        ]
        if device.jwt:
            looks.append(self._look("orders", device))
        await asyncio.gather(*looks, self._look("token", device))


def _cookie(answer: httpx.Response, name: str) -> str:
    found = [field.partition(";")[0] for field in answer.headers.get_list("set-cookie")]
    return next((field for field in found if field.startswith(f"{name}=")), "")
