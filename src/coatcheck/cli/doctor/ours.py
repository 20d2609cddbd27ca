"""Checks of an installation of ours. Floor 6; may import: floors 0 to 6."""

from __future__ import annotations

from coatcheck.cli.doctor.checks import Check, Checks, Level, Said
from coatcheck.cli.doctor.installation import FORGOTTEN_S, Ours
from coatcheck.clock import DAY, HOUR
from coatcheck.policy import Policy
from coatcheck.records import Session
from coatcheck.stores.look import Look
from coatcheck.tokens.keys import SIGN_S, KeySet, public_only

_OURS = Checks[Ours]()
OURS: list[Check[Ours]] = _OURS.all

SKEW_MOST_S = 5.0


@_OURS.add(
    "file-modes",
    Level.HIGH,
    asvs="13.3.2",
    why="Who may read the database knows every account; who may read the secret besides makes tokens.",
    fix="Run: chmod 600 FILE, as the account that runs the servers, which is to own them.",
)
def _files(seen: Ours) -> Said:
    found = [f"{path} is open to others (mode {mode:04o})" for path, mode in seen.files.items() if mode & 0o077]
    return found if seen.files else None


@_OURS.add(
    "folder-modes",
    Level.MEDIUM,
    asvs="13.3.2",
    why="Who may write to a folder puts another file in the place of the database, or of the secret.",
    fix="Keep both in a folder of the account that runs the servers: chmod 700 FOLDER.",
)
def _folders(seen: Ours) -> Said:
    found = [
        f"{path} may be written to by others (mode {mode:04o})"
        for path, mode in seen.folders.items()
        if mode & 0o022 and not mode & 0o1000  # in a sticky one, such as /tmp, nobody moves what is somebody else's
    ]
    return found if seen.folders else None


@_OURS.add(
    "link-clear",
    Level.HIGH,
    asvs="12.3.1",
    why="Sessions, claims and the password of the store can be read on the way, and changed.",
    fix="Use TLS: ?sslmode=verify-full with PostgreSQL, valkeys:// with Valkey.",
)
def _clear(seen: Ours) -> Said:
    if not seen.links:
        return None
    return [
        f"{link.option}: the link to {', '.join(link.hosts)} is in the clear" for link in seen.links if link.is_clear
    ]


@_OURS.add(
    "link-certificate",
    Level.MEDIUM,
    asvs="12.3.2",
    why="TLS without looking at the certificate keeps out who listens, and lets in who answers instead of the server.",
    fix="Use ?sslmode=verify-full, with sslrootcert=FILE where the authority is your own.",
)
def _trusting(seen: Ours) -> Said:
    links = [link for link in seen.links if link.hosts and not link.is_clear]
    found = [
        f"{link.option}: any certificate will do for {', '.join(link.hosts)}" for link in links if link.is_trusting
    ]
    return found if links else None


@_OURS.add(
    "migrations",
    Level.MEDIUM,
    asvs="13.2.6",
    why="A server of this version refuses older tables, or changes them when it starts, with old ones running.",
    fix="Stop the servers of the version before, and run: coatcheck migrate (a SQLite file is changed at the start).",
)
def _migrations(seen: Ours) -> Said:
    if seen.store is None:
        return None
    pairs = [("sessions", (seen.store.before, seen.store.after)), ("accounts", seen.database or (0, 0))]
    return [f"the tables of {what} are at {done} of {all_} migrations" for what, (done, all_) in pairs if done < all_]


@_OURS.add(
    "store-usable",
    Level.HIGH,
    asvs="16.5.2",
    why="No server starts on it.",
    fix="Do what is said there.",
)
def _usable(seen: Ours) -> Said:
    if seen.unusable is not None:
        return None if _careless(seen.store) else [seen.unusable]
    return [] if seen.is_open else None


@_OURS.add(
    "clock-skew",
    Level.MEDIUM,
    asvs="7.3.2",
    why="No lease depends on a calendar, but the ends of sessions do: they come too early, or too late.",
    fix="Let both machines set their clocks by NTP (chrony, systemd-timesyncd).",
)
def _skew(seen: Ours) -> Said:
    if seen.skew_s is None:
        return None
    way = "ahead of" if seen.skew_s > 0 else "behind"
    return [f"the store's clock is {abs(seen.skew_s):.0f} s {way} ours"] if abs(seen.skew_s) > SKEW_MOST_S else []


@_OURS.add(
    "sweep-running",
    Level.LOW,
    asvs="7.3.2",
    why="What is over stays, and everything grows with it: a backup, a scan, a thief's copy.",
    fix="Let a server run on this store, or run coatcheck sweep every hour.",
)
def _sweep(seen: Ours) -> Said:
    if not seen.is_open:
        return None
    found = []
    if seen.store is not None and seen.store.over:
        found.append(f"{seen.store.over} sessions were over more than a day ago, and are there still")
    if (seen.oldest_s or 0) > FORGOTTEN_S:
        found.append(f"the log begins with what was of no use {(seen.oldest_s or 0) / DAY:.0f} days ago")
    return found


# --- keys and the secret ---


@_OURS.add(
    "key-schedule",
    Level.MEDIUM,
    asvs="13.3.4",
    why="A key that signs for ever is one to steal. Servers make its successor by themselves; none has.",
    fix="Let a server run on this store, or run coatcheck keys rotate.",
)
def _schedule(seen: Ours) -> Said:
    if not seen.keys:
        return None
    signer = KeySet(public_only(row) for row in seen.keys).signer(seen.now)
    if signer is None:
        return ["no key signs now: all of them begin later"]
    age_s = seen.now - signer.row.signs_from
    return [f"the key {signer.kid} has signed for {age_s / DAY:.0f} days"] if age_s > SIGN_S + HOUR else []


@_OURS.add(
    "secret-usable",
    Level.HIGH,
    asvs="13.3.1",
    why="No server starts with it.",
    fix='Make one with: python -c "import secrets; print(secrets.token_urlsafe(32))", the same for all servers.',
)
def _secret(seen: Ours) -> Said:
    if seen.secret is None:
        return None
    return [seen.secret] if seen.secret else []


@_OURS.add(
    "secret-fits",
    Level.HIGH,
    asvs="13.3.1",
    why="A server with another secret than the others cannot open the keys, and refuses to start.",
    fix="Give all servers of a store the same secret; the doctor, too, looks where a server would.",
)
def _fits(seen: Ours) -> Said:
    sealed = [row for row in seen.keys or () if row.seal_id]
    if not sealed or not seen.secret_ids:
        return None
    newest = max(sealed, key=lambda row: row.number)
    return [] if newest.seal_id in seen.secret_ids else [f"the key {newest.kid} was made with another secret than ours"]


@_OURS.add(
    "secret-lost",
    Level.HIGH,
    asvs="13.3.4",
    why="It was declared lost: nothing is made with it any more, and no server starts with it.",
    fix="Make another, and restart all servers with it.",
)
def _lost(seen: Ours) -> Said:
    if not seen.is_open or not seen.secret_ids:
        return None
    return ["the secret that is in use here was declared lost"] if seen.is_lost else []


@_OURS.add(
    "secret-shared",
    Level.LOW,
    asvs="13.3.1",
    why="Without COATCHECK_SECRET each account of each machine makes its own, and none reads another's tokens.",
    fix="Put one secret into COATCHECK_SECRET or COATCHECK_SECRET_FILE of every server.",
)
def _shared(seen: Ours) -> Said:
    if seen.is_embedded:
        return None
    return [] if seen.is_given else ["no secret is given here, and the store can have servers on many machines"]


@_OURS.add(
    "secret-old",
    Level.LOW,
    asvs="13.3.4",
    why="An older value of the secret still reads: whoever has it makes forms and tokens that count.",
    fix="Take the older values out, a day after all servers have the new one.",
)
def _old(seen: Ours) -> Said:
    if not seen.secret_ids:
        return None
    more = len(seen.secret_ids) - 1
    return [f"the secret has {more} older value{'' if more == 1 else 's'}"] if more else []


# --- sessions and their policy ---


@_OURS.add(
    "policy",
    Level.MEDIUM,
    asvs="7.3.1",
    why="Sessions that live longer than was decided are there for whoever finds a device, or a cookie.",
    fix="Start every server with this --policy; what is too long already ends by coatcheck sessions revoke.",
)
def _policy(seen: Ours) -> Said:
    if seen.policy is None or not seen.sessions:
        return None
    policy = seen.policy
    long = [one for one in seen.sessions if _dies_at(one) > seen.now and _is_longer(one, policy)]
    return [f"{len(long)} of {len(seen.sessions)} sessions may live longer than the policy"] if long else []


def _dies_at(session: Session) -> int:
    return min(session.expires_at, session.seen_at + session.idle_s)


def _is_longer(session: Session, policy: Policy) -> bool:
    return session.idle_s > policy.idle_s or session.expires_at - session.created_at > policy.absolute_s


# --- servers of the store ---


def _said(seen: Ours, name: str, *wrong: str, words: str) -> Said:
    """Return the servers whose setting *name* is one of those that are *wrong*."""
    servers = [one for one in (seen.store.servers if seen.store else ()) if name in one]
    return [f"{one['server']} {words}" for one in servers if one[name] in wrong] if servers else None


def _careless(found: Look | None) -> bool:
    """Say whether a check of a server says why the store is refused."""
    return any(
        one.get("aof_enabled", "1") != "1"
        or one.get("maxmemory_policy", "noeviction") != "noeviction"
        or one.get("appendfsync") == "no"
        for one in (found.servers if found else ())
    )


@_OURS.add(
    "postgres-fsync",
    Level.HIGH,
    asvs="16.5.2",
    why="A crash of the server's machine loses revocations that were acknowledged: who was put out is in again.",
    fix="Set fsync = on in postgresql.conf.",
)
def _fsync(seen: Ours) -> Said:
    return _said(seen, "fsync", "off", words="runs with fsync=off")


@_OURS.add(
    "postgres-role",
    Level.MEDIUM,
    asvs="13.2.2",
    why="A superuser can do everything on the server: run programs, read files, change all databases.",
    fix="Give Coatcheck a role of its own, without SUPERUSER, that owns its schema or has it granted.",
)
def _role(seen: Ours) -> Said:
    return _said(seen, "is_superuser", "true", words="lets us in as a superuser")


@_OURS.add(
    "valkey-log",
    Level.HIGH,
    asvs="16.5.2",
    why="Without a log of its writes a server forgets revocations when it restarts: who was put out is in again.",
    fix="Run CONFIG SET appendonly yes, and write it into the server's configuration.",
)
def _log(seen: Ours) -> Said:
    return _said(seen, "aof_enabled", "0", words="keeps no log of its writes")


@_OURS.add(
    "valkey-fsync",
    Level.MEDIUM,
    asvs="16.5.2",
    why="With everysec each change waits for up to a second for the disk; with no, it may be lost.",
    fix="Run CONFIG SET appendfsync always, and write it into the server's configuration.",
)
def _appendfsync(seen: Ours) -> Said:
    return _said(seen, "appendfsync", "everysec", "no", words="does not sync its log at each write")


@_OURS.add(
    "valkey-eviction",
    Level.HIGH,
    asvs="16.5.2",
    why="A server that makes room by forgetting forgets sessions, and that they were ended.",
    fix="Run CONFIG SET maxmemory-policy noeviction, and write it into the server's configuration.",
)
def _eviction(seen: Ours) -> Said:
    servers = [one for one in (seen.store.servers if seen.store else ()) if "maxmemory_policy" in one]
    bad = [one for one in servers if one["maxmemory_policy"] != "noeviction"]
    return [f"{one['server']} evicts ({one['maxmemory_policy']})" for one in bad] if servers else None


@_OURS.add(
    "valkey-durability",
    Level.MEDIUM,
    asvs="16.5.2",
    why="A change that is on fewer replicas than there are is lost if one of the others is promoted.",
    fix="Take durability= out of the URL: then a change counts when all replicas have it.",
)
def _durability(seen: Ours) -> Said:
    servers = [one for one in (seen.store.servers if seen.store else ()) if "connected_slaves" in one]
    bad = [one for one in servers if one.get("durability") and int(one["durability"]) < int(one["connected_slaves"])]
    return (
        [
            f"{one['server']} has {one['connected_slaves']} replicas, and {one['durability']} must have a change"
            for one in bad
        ]
        if servers
        else None
    )
