"""
What happens to Coatcheck when there is more of everything: workers, sessions, revocations, devices.

Each figure is a ratio to the smallest, measured turn by turn in the same run.
"""

import asyncio
import statistics
import tempfile
import time

from _served import SECRET, Served, load
from check import among

from benchmarks._contestants import ALL
from coatcheck import Coatcheck

ISSUER = "https://app.example.com"


def measure(stores, *, is_quick, tick=lambda: None):
    """Return all of it."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "workers": workers(stores, rounds=2 if is_quick else 5, tick=tick),
            "sessions": asyncio.run(
                sessions(folder, [1_000, 10_000] if is_quick else [1_000, 10_000, 100_000, 1_000_000], tick=tick)
            ),
            "revoked": asyncio.run(
                revoked(folder, [1, 100, 1_000] if is_quick else [1, 100, 10_000, 100_000], tick=tick)
            ),
            "devices": asyncio.run(devices(folder, [1, 10, 100], tick=tick)),
        }


def workers(stores, *, rounds, tick):
    """Requests for each second at one, two and four workers, beside the bare application with as many."""
    found = {}
    for count in (1, 2, 4):
        names = ("starlette", "starsessions", "coatcheck-cookie-sqlite", "coatcheck-cookie-postgres")
        served, visitors, rates = {}, {}, {name: [] for name in names}
        try:
            for name in names:
                one = ALL[name]
                # Not pinned: with one core for all of them there would be nothing to see.
                served[name] = Served(one, stores.environment(one), workers=count, is_pinned=False).__enter__()
                visitors[name] = served[name].visitor()
                if one.base is not None:
                    visitors[name].sign_in()
                load(served[name], [visitors[name]], seconds=1, is_pinned=False)
            for number in range(rounds):
                for name in names[:: -1 if number % 2 else 1]:
                    rate = load(served[name], [visitors[name]], seconds=1, connections=32, is_pinned=False).rate
                    rates[name].append(rate)
                tick()
        finally:
            for one in served.values():
                one.__exit__()
        found[str(count)] = {
            name: {
                "of_bare": statistics.median(a / b for a, b in zip(rates[name], rates["starlette"], strict=True)),
                "requests_per_second": statistics.median(rates[name]),
            }
            for name in names
        }
    return found


async def sessions(folder, sizes, *, tick):
    """A warm and a cold check among ever more sessions in SQLite; the ratio to the fewest."""
    warm, cold = await among(folder, sizes, count=30)
    tick()
    first = f"{sizes[0]:,}"
    return {
        str(size): {"warm": _beside(warm, f"{size:,}", first), "cold": _beside(cold, f"{size:,}", first)}
        for size in sizes
    }


async def revoked(folder, counts, *, tick):
    """A warm check of a cookie and of a token while so many sessions were revoked within the window."""
    engines, cookie, jwt = {}, {count: [] for count in counts}, {count: [] for count in counts}
    for count in counts:
        auth = Coatcheck(f"sqlite:///{folder}/revoked-{count}.db", issuer=ISSUER, secret=SECRET)
        await auth.open()
        for begin in range(0, count, 5_000):
            many = range(begin, min(count, begin + 5_000))
            done = await asyncio.gather(*(auth.sign_in(f"user {number}") for number in many))
            await asyncio.gather(*(auth.revoke(one.session.sid) for one in done))
            tick()
        kept = await auth.sign_in("maria")
        engines[count] = auth, kept.token.reveal(), auth.access_token(kept.session, audience=ISSUER)
    for _ in range(60):
        for count, (auth, token, access) in engines.items():
            await auth.check(token)
            cookie[count].append(_repeated(lambda auth=auth, token=token: auth.check_now(token), 2000))
            jwt[count].append(_repeated(lambda auth=auth, access=access: auth.verify(access, audience=ISSUER), 2000))
    for auth, _, _ in engines.values():
        await auth.close()
    return {
        str(count): {"cookie": _beside(cookie, count, counts[0]), "jwt": _beside(jwt, count, counts[0])}
        for count in counts
    }


async def devices(folder, counts, *, tick):
    """``sessions_of`` of somebody with so many sessions, beside that of one session."""
    times = {count: [] for count in counts}
    async with Coatcheck(f"sqlite:///{folder}/devices.db", secret=SECRET) as auth:
        for count in counts:
            for _ in range(count):
                await auth.sign_in(f"maria {count}")
            tick()
        for _ in range(60):
            for count in counts:
                began = time.perf_counter()
                for _ in range(20):
                    assert len(await auth.sessions_of(f"maria {count}")) == count
                times[count].append((time.perf_counter() - began) / 20)
    return {
        str(count): {"ratio": _beside(times, count, counts[0]), "microseconds": 1e6 * min(times[count])}
        for count in counts
    }


def _repeated(action, repeat):
    began = time.perf_counter()
    for _ in range(repeat):
        assert action()
    return time.perf_counter() - began


def _beside(times, one, first):
    return statistics.median(a / b for a, b in zip(times[one], times[first], strict=True))
