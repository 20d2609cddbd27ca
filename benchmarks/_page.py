"""
``docs/benchmarks.md``, made from what was found: nothing on it is written by hand but what the words around it say.

Where a peer is better than Coatcheck in the same framework, its row stands first.
"""

import json
from pathlib import Path

from _plot import bars, lines

from benchmarks._contestants import ALL, BASES, COMPARED, STORES

AIM = 0.93
HEAD = Path(__file__).resolve().parent / "page"
_FRAMEWORKS = {base.name: base.title for base in BASES}


def read(folder):
    """Return name -> what was found, for every file of results."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def table(results, names):
    """Return the table for a terminal."""
    out = [f"{'':<34}{'of no auth':>11}{'p99':>7}{'bytes':>12}{'store calls':>31}{'revoked':>16}{'sign-ins/s':>12}"]
    for name in names:
        found = results.get(name)
        if found is None or name not in ALL:
            continue
        kept = found.get("throughput")
        out.append(
            f"{name:<34}{_number(kept and kept['median'], '{:.2f}'):>11}"
            f"{_number(found.get('p99') and found['p99']['median'], '{:.1f}x'):>7}"
            f"{_bytes(found):>12}{_calls(found):>31}{_revoked(found):>16}"
            f"{_number(found.get('sign_ins_per_second'), '{:,.0f}'):>12}"
        )
    for name in ("inside", "growth"):
        if name in names and name in results:
            shown = {key: value for key, value in results[name].items() if key != "machine"}
            out.append(f"\n{name}\n{json.dumps(shown, indent=1)}")
    return "\n".join(out)


def write(docs, results):
    """Write the page and its pictures."""
    found = {name: one for name, one in results.items() if name in ALL and "throughput" in one}
    _pictures(docs, found, results)
    parts = [
        (HEAD / "head.md").read_text(encoding="utf-8"),
        _machine(found),
        _behind(found),
        _main(found),
        (HEAD / "between.md").read_text(encoding="utf-8"),
        _what_it_keeps(found),
        _revocations(found),
        _refreshes(found),
        _sign_ins(found),
        _inside(results.get("inside")),
        _growth(results.get("growth")),
        _mended(results.get("before-after")),
        (HEAD / "foot.md").read_text(encoding="utf-8"),
        _set_ups(found),
    ]
    (docs / "benchmarks.md").write_text("\n\n".join(part.strip() for part in parts if part) + "\n", encoding="utf-8")


# --- cells ---


def _number(value, form):
    return "" if value is None else form.format(value)


def _spread(found):
    return f"{found['median']:.2f} ({found['lowest']:.2f} to {found['highest']:.2f})"


def _bytes(found):
    if "request_bytes" not in found:
        return ""
    return f"{found['request_bytes']} + {found['response_bytes']}"


def _calls(found):
    calls = {name: each for name, each in found.get("store_calls", {}).items() if each >= 0.005}
    if "store_calls" not in found:
        return ""
    return ", ".join(f"{each:.2f} {STORES[name]}" for name, each in calls.items()) or "0"


def _revoked(found):
    said = found.get("revocation")
    if said is None:
        return ""
    if said["still_accepted_after_2_s"]:
        return f"up to {_life(said['ends_by_itself_s'])}" if said["ends_by_itself_s"] else "over 2 s"
    if said["accepted_after"] == 0:
        return "at once"
    return f"{1000 * said['refused_after_s']:.1f} ms"


def _life(seconds):
    if seconds >= 86_400:
        return f"{seconds // 86_400} days"
    return f"{seconds // 60} min"


def _anchor(name):
    return f'<a id="{name}"></a>'


def _rows(columns, rows):
    if not rows:
        return ""
    rule = "|".join("---" for _ in columns)
    return "\n".join([f"| {' | '.join(columns)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)])


# --- sections ---


def _machine(found):
    machines = {json.dumps(one["machine"], sort_keys=True) for one in found.values()}
    said = []
    for text in sorted(machines):
        one = json.loads(text)
        said.append(
            f"{one['processor']}, {one['cores']} cores, {one['system']}; Python {one['python']}, uvicorn "
            f"{one['uvicorn']} with {one['loop']} and {one['http']}, Node {one['node']}, PostgreSQL "
            f"{one['postgresql']} with fsync, Valkey {one['valkey']}; {one['day']}"
        )
    quick = " **Of a quick run: for a look only.**" if any(one["quick"] for one in found.values()) else ""
    return "Measured on: " + ". And: ".join(said) + "." + quick


def _ours_like(name):
    """The row of ours that does the same work: the same framework, and the same way where there are several."""
    one = ALL[name]
    if one.base == "starlette":
        return "coatcheck-cookie-postgres"
    if one.base == "fastapi":
        return "coatcheck-fastapi-jwt" if one.module == "bearer" else "coatcheck-fastapi"
    return {"flask": "coatcheck-flask", "django": "coatcheck-django"}.get(one.base)


def _behind(found):
    """Return where a peer is better than we are, worst first."""
    rows = []
    for name, theirs in found.items():
        ours = found.get(_ours_like(name) or "")
        if ALL[name].is_ours or ours is None:
            continue
        title = ALL[name].title
        for what, better, form in (
            ("throughput", lambda one: one["throughput"]["median"], "{:.2f} of no auth"),
            ("sign-ins per second", lambda one: one.get("sign_ins_per_second", 0), "{:,.0f}"),
            ("bytes on the wire", lambda one: -(one["request_bytes"] + one["response_bytes"]), "{:.0f}"),
        ):
            a, b = better(theirs), better(ours)
            if a > b:
                factor = (b / a if what.startswith("bytes") else a / b) if b and a else 0
                rows.append((factor, [title, what, form.format(abs(a)), form.format(abs(b))]))
        for what, place in (("in the store", "store"), ("in the process", "process")):
            a, b = theirs.get(f"{place}_bytes_per_session"), ours.get(f"{place}_bytes_per_session", 0)
            if a is not None and a < b:
                rows.append((b / max(a, 1), [title, f"bytes of a session {what}", f"{a:.0f}", f"{b:.0f}"]))
    rows.sort(key=lambda row: -row[0])
    if not rows:
        return ""
    columns = ["who", "what", "theirs", "Coatcheck in the same framework"]
    return "## Where a peer is better\n\n" + _rows(columns, [row for _, row in rows])


def _main(found):
    parts = ["## One request: who is it?"]
    for base, framework in _FRAMEWORKS.items():
        names = [one.name for one in COMPARED if one.base == base and one.name in found]
        ours = [found[name]["throughput"]["median"] for name in names if ALL[name].is_ours]
        best = max(ours, default=0)
        # Who is better than the best of ours stands first, then ours, then the others.
        names.sort(key=lambda name: -found[name]["throughput"]["median"])
        first = [name for name in names if not ALL[name].is_ours and found[name]["throughput"]["median"] > best]
        rows = [
            [
                f"{_anchor(name)}{ALL[name].title}",
                _spread(found[name]["throughput"]),
                _number(found[name]["p99"]["median"], "{:.1f} times"),
                _bytes(found[name]),
                _calls(found[name]),
                _revoked(found[name]),
            ]
            for name in [*first, *(name for name in names if name not in first)]
        ]
        if rows:
            rate = next(iter(found[name]["requests_per_second"]["bare"] for name in names))
            columns = [
                f"{framework}: {rate:,.0f} requests/s with no auth", "of that", "p99, beside no auth's",
                "bytes more, request + response", "store calls a request", "a signed-out session is accepted elsewhere",
            ]  # fmt: skip
            parts.append(_rows(columns, rows))
    plain = [name for name in found if "plain_throughput" in found[name]]
    if plain:
        rows = [
            [
                f"{_anchor(name + '-plain')}{ALL[name].title}",
                _spread(found[name]["throughput"]),
                _spread(found[name]["plain_throughput"]),
            ]
            for name in plain
        ]
        parts.append(
            f"The aim is {AIM} of no auth. The faster the server, the more the same microseconds count: beside uvicorn "
            "as it comes, with h11 and asyncio, the same applications keep more."
        )
        parts.append(_rows(["", "uvloop and httptools", "h11 and asyncio"], rows))
    parts.append("![Throughput kept, by who says whose request it is](reference/bench-throughput.svg)")
    return "\n\n".join(parts)


def _what_it_keeps(found):
    rows = [
        [
            f"{_anchor(name + '-memory')}{ALL[name].title}",
            f"{one['process_bytes_per_session']:,.0f}",
            f"{one['store_bytes_per_session']:,.0f}",
            f"{one['sessions']:,}",
        ]
        for name, one in found.items()
        if "process_bytes_per_session" in one
    ]
    text = """## Memory, with 100,000 live sessions

Or with as many as the library made within 40 s, one after the other (Coatcheck: many at once, as under load). Bytes
for each session: in the process that made them, and in the store. Where Coatcheck answers from memory, that is the
memory of the first column; it holds 200,000 sessions at most and can be told to hold fewer."""
    return f"{text}\n\n{_rows(['', 'in the process', 'in the store', 'sessions'], rows)}" if rows else ""


def _revocations(found):
    rows = []
    for name, one in sorted(found.items(), key=lambda pair: (pair[1]["revocation"]["accepted_after"], pair[0])):
        said = one["revocation"]
        rows.append(
            [
                f"{_anchor(name + '-revoked')}{ALL[name].title}",
                _revoked(one),
                f"{said['accepted_after'] / said['times']:,.0f}",
            ]
        )
    columns = ["", "after the sign-out has returned, it is accepted for", "requests let in within 2 s, each time"]
    return "## Signed out at one worker, asked at another\n\n" + _rows(columns, rows)


def _refreshes(found):
    rows = [
        [
            f"{_anchor(name + '-refresh')}{ALL[name].title}",
            f"{one['refresh']['tabs_refused']} of {one['refresh']['tabs']}",
            f"{one['refresh']['users_signed_out']} of {one['refresh']['users']}",
        ]
        for name, one in found.items()
        if "refresh" in one
    ]
    text = """## Eight tabs refresh at once

Each user's eight tabs send the same refresh token at the same moment. A tab that is refused shows a sign-in page, if
nothing in the page mends it. flask-jwt-extended does not rotate refresh tokens: nobody is refused, and a stolen one
works until it ends."""
    return f"{text}\n\n{_rows(['', 'tabs refused', 'users of whom no tab goes on'], rows)}" if rows else ""


def _sign_ins(found):
    rows = [
        [
            f"{_anchor(name + '-sign-in')}{ALL[name].title}",
            f"{one['sign_ins_per_second']:,.0f}",
            _spread(one["sign_ins"]),
        ]
        for name, one in sorted(found.items(), key=lambda pair: -pair[1].get("sign_ins_per_second", 0))
        if "sign_ins" in one
    ]
    text = """## Sign-ins

`POST /sign-in` without the hash of a password, sixteen at once. Coatcheck's are on the disk when the answer goes out:
`synchronous=FULL`, fsync, `appendfsync always`. Valkey as others use it writes to the disk once in a while, or never; a
token that nobody keeps needs no disk."""
    return f"{text}\n\n{_rows(['', 'a second', 'of no auth, same framework'], rows)}" if rows else ""


def _inside(found):
    if found is None:
        return ""
    starting = found["starting"]
    rows = [
        [
            "import", "`import coatcheck`", f"{starting['import']['ratio']:.2f} times",
            "importing what it requires", "1.2",
        ],
        ["help", "`coatcheck --help`", f"{starting['help']['ratio']:.2f} times", "the same of a bare typer", "2"],
        [
            "argon2", "a sign-in at the server", f"{found['sign_ins_of_argon2']:.2f} of the rate",
            "bare argon2 in as many threads", "",
        ],
    ]  # fmt: skip
    if "pulse" in found:
        said = f"{found['pulse']['ratio']:.0f} times ({found['pulse']['data_version_us']:.1f} µs)"
        what = "asking SQLite whether somebody has written (`PRAGMA data_version`)"
        rows.append(["pulse", what, said, "reading a number from a mapped file", ""])
    for store, title in STORES.items():
        one = found[store]
        rows += [
            [
                f"warm-{store}", f"a warm check on {title}", f"{one['warm_ratio']:.2f} times ({one['warm_us']:.1f} µs)",
                "the memory store", "1.5",
            ],
            [
                f"cold-{store}", f"a cold check on {title}", f"{one['cold_ratio']:.2f} times ({one['cold_us']:.0f} µs)",
                "the driver's bare read", "2",
            ],
        ]  # fmt: skip
        if "bytes_session" in one:
            rows.append(
                [f"bytes-{store}", f"a cached session, {title}", f"{one['bytes_session']:.0f} bytes", "", "900 bytes"]
            )
        if "barrier_8_ms" in one:
            said = f"{one['barrier_8_commits_median']:.1f} times ({one['barrier_8_ms']:.2f} ms)"
            what = f"a revocation that 8 nodes have heard of, {title}"
            rows.append([f"revoke-{store}", what, said, "a bare commit", ""])
    rows = [[_anchor(name) + what, said, beside, aim] for name, what, said, beside, aim in rows]
    jose = "does" if starting["import_loads_jose"] else "does not"
    return "\n\n".join(
        [
            "## Coatcheck by itself",
            _rows(["what", "figure", "beside", "aim, at most"], rows),
            f"`import coatcheck` {jose} load joserfc and cryptography; the first signing key does.",
        ]
    )


def _mended(found):
    if found is None:
        return ""
    rows = [
        [what, f"{each['before']:.2f}", f"{each['after']:.2f}", f"{each['ratio']:.2f} times"]
        for what, each in found["figures"].items()
    ]
    text = f"""## What was mended

The code before this page was begun ({found["commit"]}) beside the code that it is about, in one run, turn by turn:
`python benchmarks/before_after.py {found["commit"]}`."""
    return f"{text}\n\n{_rows(['', 'before', 'after', ''], rows)}"


def _growth(found):
    if found is None:
        return ""
    parts = ["## Growth"]
    names = list(next(iter(found["workers"].values())))
    rows = [
        [
            f"{_anchor('workers-' + count)}{count}",
            *(f"{each[name]['of_bare']:.2f} ({each[name]['requests_per_second']:,.0f}/s)" for name in names),
        ]
        for count, each in found["workers"].items()
    ]
    parts.append("Workers of uvicorn, not pinned, on the cores that wrk and the stores need, too:")
    parts.append(_rows(["workers", *(ALL[name].title for name in names)], rows))
    rows = [
        [f"{_anchor('sessions-' + count)}{int(count):,}", f"{each['warm']:.2f}", f"{each['cold']:.2f}"]
        for count, each in found["sessions"].items()
    ]
    parts.append("Sessions in SQLite; times beside those among the fewest:")
    parts.append(_rows(["sessions", "a warm check", "a cold check"], rows))
    rows = [
        [f"{_anchor('revoked-' + count)}{int(count):,}", f"{each['cookie']:.2f}", f"{each['jwt']:.2f}"]
        for count, each in found["revoked"].items()
    ]
    parts.append("Sessions revoked within the window in which tokens made from them could still be valid:")
    parts.append(_rows(["revoked", "a warm check of a cookie", "of an access token"], rows))
    rows = [
        [f"{_anchor('devices-' + count)}{count}", f"{each['microseconds']:.0f} µs", f"{each['ratio']:.1f}"]
        for count, each in found["devices"].items()
    ]
    parts.append("`sessions_of` somebody with so many sessions, on SQLite:")
    parts.append(_rows(["sessions", "time", "beside one"], rows))
    parts.append("![Checks, by the number of sessions](reference/bench-growth.svg)")
    return "\n\n".join(parts)


def _set_ups(found):
    rows = []
    for one in COMPARED:
        if one.name not in found:
            continue
        versions = ", ".join(f"{name} {version}" for name, version in found[one.name]["versions"].items())
        rows.append([one.title, f"`benchmarks/peers/{one.module}{'' if '.' in one.module else '.py'}`", versions])
    return "## Set-ups\n\n" + _rows(["", "the whole of it", "versions"], rows)


# --- pictures ---


def _pictures(docs, found, results):
    folder = docs / "reference"
    shown = [one for one in COMPARED if one.name in found]
    shown.sort(key=lambda one: -found[one.name]["throughput"]["median"])
    bars(
        folder / "bench-throughput.svg",
        title="GET /me: throughput kept, of the same application with no auth",
        rows=[(one.title.replace("`", ""), found[one.name]["throughput"]["median"], one.is_ours) for one in shown],
        aim=AIM,
    )
    if "growth" in results:
        sessions = results["growth"]["sessions"]
        lines(
            folder / "bench-growth.svg",
            title="A check, beside the same among the fewest sessions",
            across="sessions in SQLite",
            up="times",
            places=[f"{int(count):,}" for count in sessions],
            series={what: [each[what] for each in sessions.values()] for what in ("warm", "cold")},
        )
