"""
The questions that are put to every contestant. Each function asks one and returns a dict that goes into its results.

Rates and times are ratios to the same application without anybody who asks who it is, measured turn by turn; what is
counted (bytes, calls of a store, users who were signed out) is counted exactly, for as many requests as it says.
"""

import asyncio
import contextlib
import re
import socket
import statistics
import time

import httpx
from _served import Served, load, load_sign_ins

from benchmarks._contestants import ALL

COUNTED = 300
PATIENCE_S = 2.0
TABS = 8


def spread(values):
    """The median, and the lowest and the highest."""
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


@contextlib.contextmanager
def _both(contestant, stores, *, is_plain=False):
    """The contestant and what it is compared with, each with its visitors."""
    base = ALL[contestant.base]
    with (
        Served(base, stores.environment(base), is_plain=is_plain) as bare,
        Served(contestant, stores.environment(contestant), is_plain=is_plain) as one,
    ):
        visitors = [one.visitor().sign_in() for _ in range(2 if contestant.alternates else 1)]
        yield (bare, [bare.visitor()]), (one, visitors)


def throughput(contestant, stores, *, rounds, seconds, tick, is_plain=False):
    """Requests for each second, and the time that 99 of 100 stay below, of the bare application's in the same round."""
    kept, slower, rates = [], [], {"bare": [], "own": []}
    with _both(contestant, stores, is_plain=is_plain) as pair:
        for served, visitors in pair:
            load(served, visitors, seconds=1)  # both have seen it before it counts
        for number in range(rounds):
            turn = list(enumerate(pair))[:: -1 if number % 2 else 1]
            found = {which: load(served, visitors, seconds=seconds) for which, (served, visitors) in turn}
            kept.append(found[1].rate / found[0].rate)
            slower.append(found[1].p99_s / found[0].p99_s)
            rates["bare"].append(found[0].rate)
            rates["own"].append(found[1].rate)
            tick()
    return {
        "throughput": spread(kept),
        "p99": spread(slower),
        "requests_per_second": {name: statistics.median(found) for name, found in rates.items()},
        "rounds": rounds,
        "seconds": seconds,
    }


def plain(contestant, stores, *, rounds, seconds, tick):
    """The same under uvicorn as it comes, without uvloop and httptools; of Coatcheck's own three ways only."""
    if not contestant.is_ours or contestant.module != "coatcheck_starlette" or contestant.alternates:
        return {}
    found = throughput(contestant, stores, rounds=rounds, seconds=seconds, tick=tick, is_plain=True)
    return {"plain_throughput": found["throughput"], "plain_requests_per_second": found["requests_per_second"]}


def sign_ins(contestant, stores, *, rounds, seconds, tick):
    """Sign-ins for each second without a password's hash, of the bare application's answers to the same request."""
    kept, rates = [], []
    base = ALL[contestant.base]
    with (
        Served(base, stores.environment(base)) as bare,
        Served(contestant, stores.environment(contestant)) as one,
    ):
        for served in (bare, one):
            load_sign_ins(served, seconds=1)
        for number in range(rounds):
            turn = (bare, one)[:: -1 if number % 2 else 1]
            found = {served: load_sign_ins(served, seconds=seconds).rate for served in turn}
            kept.append(found[one] / found[bare])
            rates.append(found[one])
            tick()
    return {"sign_ins": spread(kept), "sign_ins_per_second": statistics.median(rates)}


# --- what is counted ---


def on_the_wire(contestant, stores, *, tick):
    """Bytes of a request and its response that the bare application does not have."""
    sizes = {}
    with _both(contestant, stores) as pair:
        for name, (served, visitors) in zip(("bare", "own"), pair, strict=True):
            sizes[name] = _bytes(served.port, visitors[0].fields())
            tick()
    (asked, answered), (bare_asked, bare_answered) = sizes["own"], sizes["bare"]
    return {"request_bytes": asked - bare_asked, "response_bytes": answered - bare_answered}


def _bytes(port, fields):
    lines = ["GET /me HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *(f"{n}: {v}" for n, v in fields.items())]
    request = "\r\n".join([*lines, "", ""]).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert b" 200 " in answer.split(b"\r\n", 1)[0], answer[:200]
    return len(request), len(answer)


class _Count:
    """Commands that the Valkeys were given, statements that PostgreSQL was."""

    _OURS = re.compile(rb"(?:statement|execute [^:]*): (?!ALTER SYSTEM|SELECT pg_reload_conf)")

    def __init__(self, stores):
        self.stores = stores
        self.log = stores.postgres.folder / "log"

    def __enter__(self):
        self.stores.postgres.psql("ALTER SYSTEM SET log_statement = 'all'")
        self.stores.postgres.psql("SELECT pg_reload_conf()")
        time.sleep(0.3)  # until every process of the server has heard of it
        return self

    def __exit__(self, *exc_info):
        self.stores.postgres.psql("ALTER SYSTEM RESET log_statement")
        self.stores.postgres.psql("SELECT pg_reload_conf()")

    def now(self):
        """As a dict: which store, how many."""
        valkeys = 0
        for server in (self.stores.valkey, self.stores.their_valkey):
            for name, found in server.info("commandstats").items():
                if not name.startswith(("cmdstat_info", "cmdstat_hello", "cmdstat_client", "cmdstat_auth")):
                    valkeys += int(found["calls"])
        return {"valkey": valkeys, "postgres": len(self._OURS.findall(self.log.read_bytes()))}


def store_calls(contestant, stores, *, tick):
    """Calls of a store for each request; what a server does by itself meanwhile is in it."""
    if contestant.store == "sqlite":
        return _statements(contestant, stores, tick=tick)
    with _Count(stores) as count, _both(contestant, stores) as (_, (_, visitors)):
        before = count.now()
        for number in range(COUNTED):
            assert visitors[number % len(visitors)].get("/me").status_code == 200
        time.sleep(0.05)
        after = count.now()
        tick()
    return {"store_calls": {name: (after[name] - before[name]) / COUNTED for name in after}}


def _statements(contestant, stores, *, tick):
    # There is no server to ask, so the application counts.
    with Served(contestant, {**stores.environment(contestant), "BENCH_COUNT": "1"}) as one:
        visitors = [one.visitor().sign_in() for _ in range(2 if contestant.alternates else 1)]
        before = visitors[0].get("/count").json()["calls"]
        for number in range(COUNTED):
            assert visitors[number % len(visitors)].get("/me").status_code == 200
        after = visitors[0].get("/count").json()["calls"]
        tick()
    return {"store_calls": {"sqlite": (after - before) / COUNTED}}


def memory(contestant, stores, *, count, seconds, tick):
    """
    Bytes for each live session: in the process that made them, and in the store.

    Args:
        count: How many; fewer where their library does not make them within *seconds*.
    """
    if not contestant.fills:
        return {}
    environment = stores.environment(contestant)
    with Served(contestant, environment) as one:
        visitor = one.visitor().sign_in()
        assert visitor.post("/fill?n=200").status_code == 200
        before, stored = one.memory(), _stored(contestant, stores, environment)
        until, made = time.monotonic() + seconds, 0
        while made < count and time.monotonic() < until:
            some = min(2_000, count - made)
            assert visitor.post(f"/fill?n={some}&from={made}").status_code == 200
            made += some
            tick()
        return {
            "process_bytes_per_session": (one.memory() - before) / made,
            "store_bytes_per_session": (_stored(contestant, stores, environment) - stored) / made,
            "sessions": made,
        }


def _stored(contestant, stores, environment):
    if contestant.store == "sqlite":
        path = environment["BENCH_STORE"].removeprefix("sqlite:///")
        import apsw

        connection = apsw.Connection(path)
        try:
            return connection.pragma("page_count") * connection.pragma("page_size")
        finally:
            connection.close()
    name = environment["BENCH_POSTGRES"].rpartition("/")[2]
    tables = int(stores.postgres.psql(f"SELECT pg_database_size('{name}')", database=name).split()[-1])
    valkey = stores.valkey if contestant.is_ours else stores.their_valkey
    kept = int(valkey.info("memory")["used_memory_dataset"]) if contestant.store == "valkey" else 0
    # cached_db keeps each session in both.
    return kept + (tables if contestant.store == "postgres" or contestant.name == "django-cached-db" else 0)


# --- what happens ---


def revocation(contestant, stores, *, times, tick):
    """Sign out at one worker, and ask another at once: how long, and for how many requests, it still says yes."""
    environment, found, accepted, never = stores.environment(contestant), [], 0, 0
    with Served(contestant, environment) as here, Served(contestant, environment) as there:
        for _ in range(times):
            visitor = here.visitor().sign_in()
            copy = visitor.at(there)
            for _ in range(5):
                assert copy.get("/me").status_code == 200
            thief = copy.fields()  # as it was: what a browser is told to forget afterwards is not forgotten here
            assert visitor.post("/sign-out").status_code in (200, 204)
            late_s, more = _until_refused(copy.origin, thief)
            accepted += more
            if late_s is None:
                never += 1
            else:
                found.append(late_s)
            visitor.close()
            copy.close()
            tick()
    return {
        "revocation": {
            "times": times,
            "refused_after_s": statistics.median(found) if found else None,
            "accepted_after": accepted,
            "still_accepted_after_2_s": never,
            "ends_by_itself_s": contestant.life_s,
        }
    }


def _until_refused(origin, fields):
    """Return the seconds until somebody is not let in any more, None where that is not within our patience."""
    yes = 0
    with httpx.Client(base_url=origin) as client:
        began = time.perf_counter()
        while True:
            if client.get("/me", headers=fields).status_code != 200:
                return (time.perf_counter() - began if yes else 0.0), yes
            yes += 1
            if time.perf_counter() - began > PATIENCE_S:
                return None, yes


def refresh(contestant, stores, *, users, tick):
    """So many users, each with eight tabs that refresh with the same token at the same time."""
    if not contestant.refreshes:
        return {}
    with Served(contestant, stores.environment(contestant)) as one:
        refused = lost = 0
        for _ in range(users):
            visitor = one.visitor().sign_in()
            answers = asyncio.run(_at_once(visitor, contestant.refreshes))
            refused += sum(answer is None for answer in answers)
            good = [answer for answer in answers if answer is not None]
            lost += not any(_goes_on(visitor, answer) for answer in good)
            visitor.close()
            tick()
    return {"refresh": {"users": users, "tabs": users * TABS, "tabs_refused": refused, "users_signed_out": lost}}


async def _at_once(visitor, how):
    token = visitor.refresh_token
    fields = {"origin": visitor.origin, "sec-fetch-site": "same-origin"}
    fields |= {"authorization": f"Bearer {token}"} if how == "bearer" else {"x-refresh-token": token}
    async with httpx.AsyncClient(base_url=visitor.origin) as client:
        answers = await asyncio.gather(*(client.post("/refresh", headers=fields) for _ in range(TABS)))
    return [answer.json() if answer.status_code == 200 else None for answer in answers]


def _goes_on(visitor, answer):
    visitor.access = answer["access_token"]
    return visitor.get("/me").status_code == 200
