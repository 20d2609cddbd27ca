"""
Another process on the same file, which does what it is told: ``python neighbour.py``. One command per line on its
standard input, one answer per line, as JSON. :class:`Neighbour` is the side of the test.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

from coatcheck import Coatcheck, CoatcheckError


class Neighbour:
    """A process that is told what to do. Ends with the ``with`` block."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *exc_info):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def tell(self, *words):
        """Give a command; do not wait."""
        self.process.stdin.write(json.dumps(words) + "\n")

    def hear(self):
        """Wait for the answer to the oldest command."""
        line = self.process.stdout.readline()
        assert line, "the neighbour died"
        return json.loads(line)

    def ask(self, *words):
        """Give a command and wait for its answer."""
        self.tell(*words)
        return self.hear()

    async def ask_beside(self, *words):
        """Like :meth:`ask`, and let other tasks run meanwhile."""
        return await asyncio.to_thread(self.ask, *words)


class Commands:
    async def open(self, url):
        self.auth = Coatcheck(url)
        await self.auth.open()
        return self.auth.derived_keys("test 1")[0].hex()

    async def close(self):
        await self.auth.close()

    async def sign_in(self, sub):
        signed_in = await self.auth.sign_in(sub)
        return [signed_in.session.sid, signed_in.token.reveal()]

    async def check(self, token):
        return bool(await self.auth.check(token))

    async def check_now(self, token):
        found = self.auth.check_now(token)
        return None if found is None else bool(found)

    async def revoke(self, sid):
        return (await self.auth.revoke(sid)).position

    async def update_claims(self, sub, claims):
        return (await self.auth.update_claims(sub, set=claims)).position


async def main():
    commands = Commands()
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, *words = json.loads(line)
        try:
            answer = await getattr(commands, name)(*words)
        except CoatcheckError as error:
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
