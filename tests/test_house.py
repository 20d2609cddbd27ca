"""The folder tree is the architecture; these tests keep it true."""

import ast
import re
from pathlib import Path

import pytest

import coatcheck

SOURCE = Path(__file__).parent.parent / "src" / "coatcheck"
FLOOR = {
    "errors": 0,
    "clock": 0,
    "secret": 0,
    "values": 0,
    "records": 0,
    "arguments": 0,
    "policy": 0,
    "tokens": 1,
    "decide": 1,
    "http": 1,
    "stores": 2,
    "fleet": 3,
    "engine": 4,
    "verifier": 4,
    "blocking": 4,
    "testing": 5,
    "_asgi_calls": 5,
    "_asgi_forms": 5,
    "_asgi_live": 5,
    "_carry": 5,
    "_door": 5,
    "fastapi": 5,
    "flask": 5,
    "litestar": 5,
    "wsgi": 5,
    "django": 5,
    "_asgi_tokens": 5,
    "asgi": 5,
    "server": 6,
    "tools": 6,
    "cli": 6,
}
DRIVERS = {
    "apsw": ("stores", "server"),
    "asyncpg": ("stores", "server"),
    "redis": ("stores",),
    "cryptography": ("secret", "tokens", "server"),
    "joserfc": ("tokens", "fleet"),
}
STANDS_ON = {("verifier", "engine"), ("blocking", "engine"), ("blocking", "verifier")}
CLOCKS = ("time.time", "time.monotonic", "datetime.now", "time.clock_gettime")


def modules():
    """Every module as (room, path)."""
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).parts
        if parts != ("__init__.py",):
            yield parts[0].removesuffix(".py"), path


def imports(source):
    """The names of all modules that *source* imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            if node.module == "coatcheck":
                yield from (f"coatcheck.{alias.name}" for alias in node.names)
            else:
                yield node.module


def wrong_imports(room, source):
    """The imports that lead up, or sideways above the ground floor, or to a driver that is another room's."""
    for name in imports(source):
        parts = name.split(".")
        if parts[0] == "coatcheck":
            target = parts[1] if len(parts) > 1 else "__init__"
            if FLOOR[room] == 6 and (target in coatcheck.__all__ or target == "__init__"):
                continue  # the server and the command stand on the library as any application does
            up = target not in FLOOR or FLOOR[target] > FLOOR[room]
            stands_on = (room, target) in STANDS_ON
            sideways = target != room and not stands_on and FLOOR.get(target) == FLOOR[room] and 0 < FLOOR[room] < 5
            store_knows = room == "stores" and target in ("tokens", "decide", "http", "policy", "clock")
            back = room == "server" and target == "cli"
            if up or sideways or store_knows or back:
                yield name
        elif parts[0] in DRIVERS and room not in DRIVERS[parts[0]]:
            yield name


@pytest.mark.parametrize(
    ("room", "source", "expected"),
    [
        ("stores", "from coatcheck.records import Session", []),
        ("stores", "from coatcheck.policy import Policy", ["coatcheck.policy"]),
        ("stores", "from coatcheck.tokens import session_token", ["coatcheck.tokens"]),
        ("decide", "def f():\n    from coatcheck.http.cookie import find", ["coatcheck.http.cookie"]),
        ("errors", "import coatcheck.engine", ["coatcheck.engine"]),
        ("fleet", "from coatcheck import engine", ["coatcheck.engine"]),
        ("fleet", "import apsw", ["apsw"]),
        ("engine", "from coatcheck.fleet.cache import Cache", []),
        ("records", "from coatcheck import Session", ["coatcheck.Session"]),
        ("server", "from coatcheck import Session", []),
        ("server", "from coatcheck.cli.app import app", ["coatcheck.cli.app"]),
        ("cli", "import apsw", ["apsw"]),
        ("server", "import redis.asyncio", ["redis.asyncio"]),
    ],
)
def test_the_rule_can_fail(room, source, expected):
    """A rule that finds nothing wrong in wrong imports would keep nothing."""
    assert list(wrong_imports(room, source)) == expected


@pytest.mark.parametrize(("room", "path"), list(modules()), ids=lambda value: getattr(value, "stem", value))
def test_imports_only_go_down(room, path):
    """A floor imports lower floors only; a store knows no token and no policy; a driver stays in its room."""
    assert list(wrong_imports(room, path.read_text())) == []


@pytest.mark.parametrize(("room", "path"), list(modules()), ids=lambda value: getattr(value, "stem", value))
def test_every_module_says_what_it_is(room, path):
    """A module opens with what it is, its floor and what it may import."""
    said = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert "Floor" in said


@pytest.mark.parametrize(("room", "path"), list(modules()), ids=lambda value: getattr(value, "stem", value))
def test_only_the_clock_reads_a_clock(room, path):
    """Time is an argument below the engine, and the engine asks its clock."""
    if room == "clock" or path.stem in ("_sqlite_file", "_sqlite_pulse"):
        return  # those two wait for other processes; nothing they decide depends on the time of day
    source = path.read_text()
    assert [name for name in CLOCKS if name in source] == []


def test_every_rule_that_is_named_is_in_the_model():
    """A name like *commit-before-list* in the code leads to the model's guard, and the proof that it is needed."""
    model = (SOURCE.parent.parent / "verification" / "guards.hpp").read_text()
    guards = {name.lower().replace("_", "-") for name in re.findall(r"G\(([A-Z_]+),", model)}
    named = {
        name
        for path in (SOURCE / "fleet").glob("*.py")
        for name in re.findall(r"\*([a-z]+(?:-[a-z]+)+)\*", (ast.get_docstring(ast.parse(path.read_text())) or ""))
    }
    assert len(named) > 10 and named <= guards, named - guards
