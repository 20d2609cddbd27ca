"""
Histories that are legal by their making: a model of the store, in which each operation happens at one instant between
its call and its return, and memory may lag behind by what nobody has acknowledged yet.
"""

import itertools
import random
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from soak.history import FOREVER, Op

LEASE, LATE = 150, 400  # of the same unit as all times here
STEP = 100
KINDS = (
    *(
        "sign_in",
        "sign_in_late",
        "look",
        "look",
        "look",
        "verify",
        "verify",
        "renew",
        "claims",
        "revoke",
        "revoke_user",
    ),
    *("revoke_everyone", "mint", "issue_refresh", "refresh", "refresh", "write_data", "remove_data", "read_data"),
)
READS = ("look", "verify", "mint", "read_data")
SUBJECTS = ("maria", "josef")


@dataclass
class Row:
    sub: str
    token: str
    claims: str
    version: int = 1
    alive: bool = True
    data: dict = field(default_factory=dict)


@dataclass
class State:
    """The store at one instant."""

    rows: dict = field(default_factory=dict)
    generation: dict = field(default_factory=lambda: dict.fromkeys(SUBJECTS, 0))
    families: dict = field(default_factory=dict)  # name -> (sid, generation)

    def copy(self):
        rows = {sid: replace(row, data=dict(row.data)) for sid, row in self.rows.items()}
        return State(rows, dict(self.generation))  # nobody looks at the families of the past

    def end(self, sids):
        for sid in sids:
            self.rows[sid].alive = False

    def of(self, sub):
        return [sid for sid, row in self.rows.items() if row.sub == sub]


@st.composite
def plans(draw):
    """What is to be done: kind, when it begins, happens and returns, a number that chooses what with, and its fate."""
    # By one seed, not by a strategy for each part: those come out much alike, and few of them meet.
    chance = random.Random(draw(st.integers(0, 2**32)))

    def step():
        before, after = chance.randrange(3 * STEP), chance.randrange(3 * STEP)
        fate = chance.choice(["ok"] * 12 + ["committed", "lost", "late", "killed"])
        return chance.choice(KINDS), before, after, chance.randrange(999), chance.randrange(999), fate

    return [("sign_in", 0, 0, 0, 0, "ok"), *(step() for _ in range(draw(st.integers(5, 60))))]


class World:
    """Carries a plan out, and writes its history."""

    def __init__(self):
        self.state = State()
        self.past = [(0, self.state.copy())]
        self.ops = []
        self.serial = itertools.count(1)
        self.given = {"token": {}, "jwt": {}, "refresh": {}, "session": {}}  # name -> (who gave it, what it is)
        self.written = {}  # (sid, key) -> when its writer has time again, its value

    def run(self, plan):
        events = []
        for number, (kind, before, after, which, back, fate) in enumerate(plan):
            point = 1000 + number * STEP * 2
            begin, end = point - before, point + after
            if fate == "late" and kind not in READS:  # it gave up, and it happens all the same
                point = end + back % LATE
            events.append((point, number, kind, begin, end, which, back, fate))
        for point, _, kind, begin, end, which, back, fate in sorted(events):
            self.at, self.begin, self.end, self.which, self.back, self.fate = point, begin, end, which, back, fate
            getattr(self, f"do_{kind}")()
            self.past.append((point, self.state.copy()))
        return self.ops

    # --- parts ---

    def name(self, prefix):
        return f"{prefix}{next(self.serial)}"

    def pick(self, what):
        """Something that had been given before this began; by number, so that it shrinks well."""
        there = [(name, info) for name, (op, info) in self.given[what].items() if op.end < self.begin]
        return there[self.which % len(there)] if there else (None, None)

    def remembered(self):
        """The state that memory shows: now, or as far back as nobody has said that it must not be."""
        known = [op.end for op in self.ops if op.outcome == "ok" and op.end < self.begin]
        known += [op.end + LEASE for op in self.ops if op.outcome == "committed" and op.end + LEASE < self.begin]
        known += [op.end for op in self.ops if op.reason == "reused" and op.end < self.begin]
        least = max(known, default=0)
        since = max(least, self.begin - LEASE, self.at - self.back)
        return [state for point, state in self.past if point <= since][-1]

    def write(self, kind, change, **fields):
        """An operation that changes the store: *change* returns what it answers, None where it refuses."""
        happens = self.fate != "killed" or self.which % 2
        answer = change() if happens else {}
        fate = "ok" if answer is None and self.fate == "committed" else self.fate
        if fate in ("lost", "late", "killed"):
            end = FOREVER if fate == "killed" else self.end
            op = Op(kind=kind, begin=self.begin, end=end, outcome="unknown", **fields)
        elif answer is None:
            op = Op(kind=kind, begin=self.begin, end=self.end, outcome="refused", reason="unknown", **fields)
        elif fate == "committed":
            op = Op(kind=kind, begin=self.begin, end=self.end, outcome="committed", **fields)
        else:
            op = Op(kind=kind, begin=self.begin, end=self.end, **fields, **answer)
        self.ops.append(op)
        return op if op.outcome == "ok" else None

    def read(self, kind, accepted, reason, **fields):
        more = accepted if accepted is not None else {"outcome": "refused", "reason": reason}
        self.ops.append(Op(kind=kind, begin=self.begin, end=self.end, **fields, **more))
        return self.ops[-1]

    # --- what can be done ---

    def do_sign_in(self, generation=None, **since):
        sub, sid, token, value = SUBJECTS[self.which % 2], self.name("s"), self.name("t"), self.name("v")

        def change():
            if generation is not None and self.state.generation[sub] != generation:
                return None
            self.state.rows[sid] = Row(sub, token, value)
            return {"sid": sid, "token": token, "version": 1}

        self.fate = "ok" if self.fate == "committed" else self.fate
        op = self.write("sign_in", change, sub=sub, claims=value, **since)
        if op is not None:
            self.given["token"][token] = (op, sid)
            self.given["session"][sid, 1] = (op, (sid, 1))

    def do_sign_in_late(self):
        asked = self.begin - 10
        before = [state for point, state in self.past if point <= asked][-1]
        self.do_sign_in(before.generation[SUBJECTS[self.which % 2]], since=asked - 5, until=asked + 5)

    def do_look(self):
        token, sid = self.pick("token")
        if token is not None:
            row = self.remembered().rows[sid]
            accepted = None
            if row.alive and row.token == token:
                accepted = {"sid": sid, "version": row.version, "claims": row.claims}
            op = self.read("check", accepted, "revoked" if not row.alive else "renewed", token=token)
            if accepted:
                self.given["session"][sid, row.version] = (op, (sid, row.version))

    def do_verify(self):
        jwt, info = self.pick("jwt")
        if jwt is not None:
            sid, version = info
            row = self.remembered().rows[sid]
            fine = row.alive and row.version == version
            self.read("verify", {"sid": sid, "version": version} if fine else None, "revoked", token=jwt)

    def do_mint(self):
        key, info = self.pick("session")
        if key is not None:
            (sid, version), jwt = info, self.name("j")
            row = self.remembered().rows[sid]
            fine = row.alive and row.version == version
            fields = {"sid": sid, "since": self.given["session"][key][0].begin, "version": version}
            op = self.read("mint", {"jwt": jwt} if fine else None, "renewed", **fields)
            if fine:
                self.given["jwt"][jwt] = (op, (sid, version))

    def do_renew(self):
        token, sid = self.pick("token")
        if token is None:
            return
        row, fresh = self.state.rows[sid], self.name("t")

        def change():
            if not row.alive or row.token != token:
                return None
            row.token, row.version = fresh, row.version + 1
            return {"fresh": fresh, "version": row.version}

        op = self.write("renew", change, sid=sid, sub=row.sub, token=token)
        if op is not None:
            self.given["token"][fresh] = (op, sid)

    def do_claims(self):
        sub, value = SUBJECTS[self.which % 2], self.name("v")

        def change():
            for sid in self.state.of(sub):
                self.state.rows[sid].claims = value
                self.state.rows[sid].version += 1
            self.state.generation[sub] += 1
            return {}

        self.write("claims", change, sub=sub, claims=value)

    def do_revoke(self):
        _, sid = self.pick("token")
        if sid is not None:
            self.write("revoke", lambda: self.state.end([sid]) or {}, sid=sid)

    def do_revoke_user(self):
        sub = SUBJECTS[self.which % 2]
        _, sid = self.pick("token")
        keep = sid if sid is not None and self.back % 2 else ""

        def change():
            self.state.end(sid for sid in self.state.of(sub) if sid != keep)
            self.state.generation[sub] += 1
            return {}

        self.write("revoke_user", change, sub=sub, keep=keep)

    def do_revoke_everyone(self):
        def change():
            self.state.end(self.state.rows)
            for sub in SUBJECTS:
                self.state.generation[sub] += 1
            return {}

        if self.which % 3 == 0:
            self.write("revoke_everyone", change)

    def do_issue_refresh(self):
        key, info = self.pick("session")
        if key is None:
            return
        (sid, version), family, jwt = info, self.name("f"), self.name("j")

        def change():
            row = self.state.rows[sid]
            if not row.alive or row.version != version:
                return None
            self.state.families[family] = [sid, 1]
            return {"fresh": f"{family}.1", "jwt": jwt}

        self.fate = "ok" if self.fate == "committed" else self.fate
        since = self.given["session"][key][0].begin
        op = self.write("issue_refresh", change, sid=sid, version=version, since=since)
        if op is not None:
            self.given["jwt"][jwt] = (op, (sid, version))
            self.given["refresh"][op.fresh] = (op, (family, 1))

    def do_refresh(self):
        token, info = self.pick("refresh")
        if token is None:
            return
        (family, generation), jwt = info, self.name("j")
        sid, current = self.state.families[family]
        row = self.state.rows[sid]
        stolen = []

        def change():
            if not row.alive:
                return None
            if generation < current - 1:
                self.state.end([sid])
                stolen.append(sid)
                return None
            if generation == current:
                self.state.families[family][1] += 1
            return {"fresh": f"{family}.{generation + 1}", "jwt": jwt, "version": row.version}

        self.fate = "ok" if self.fate == "committed" else self.fate
        op = self.write("refresh", change, sid=sid, token=token)
        if stolen and self.ops[-1].outcome == "refused":
            self.ops[-1] = Op(
                kind="refresh",
                begin=self.begin,
                end=self.end,
                outcome="refused",
                reason="reused",
                sid=sid,
                token=token,
            )
        if op is not None:
            self.given["jwt"][jwt] = (op, (sid, op.version))
            self.given["refresh"].setdefault(op.fresh, (op, (family, generation + 1)))

    def do_write_data(self, gone=False):
        _, sid = self.pick("token")
        key = "abc"[self.back % 3]
        free, value = self.written.get((sid, key), (0, 0))
        if sid is None or free >= self.begin:
            return
        row = self.state.rows[sid]

        def change():
            if not row.alive:
                return None
            if gone:
                row.data.pop(key, None)
            else:
                row.data[key] = value + 1
            return {}

        self.write("write_data", change, sid=sid, **({"gone": (key,)} if gone else {"data": {key: value + 1}}))
        # Who removes a key has no business with it any more: a write that comes late could bring it back.
        self.written[sid, key] = (FOREVER if gone else self.ops[-1].end, value + 1)

    def do_remove_data(self):
        self.do_write_data(gone=True)

    def do_read_data(self):
        _, sid = self.pick("token")
        if sid is not None:
            row = self.state.rows[sid]
            self.read("read_data", {"data": dict(row.data)} if row.alive else None, "unknown", sid=sid)
