"""
Who is compared with whom, and what each promises.

To add one, write its file in ``benchmarks/peers`` and a line here; ``benchmarks/README.md`` says how.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """
    One row of the page.

    Attributes:
        name: On the command line, and of its file of results. title: in tables.

        module: In ``benchmarks.peers``; a name that ends in ``.mjs`` is for Node.

        variant: What the module finds in ``BENCH_VARIANT``.

        base: The name of the same application without anybody who asks; None for such an application itself.

        store: Where the truth is: ``postgres``, ``valkey``, ``sqlite``, or "" where the token is all there is.

        packages: Whose versions are recorded.

        refreshes: How a refresh token is sent, where there is one: ``bearer``, or in a ``field`` of its own.

        fills: Whether sessions are kept, so that their size can be told.

        alternates: Whether two visitors take turns, where memory has room for one only.

        life_s: How long what was signed out works on at most where nothing can take it back, by its set-up.
    """

    name: str
    title: str
    module: str
    variant: str = ""
    base: str | None = None
    store: str = ""
    packages: tuple[str, ...] = ()
    refreshes: str = ""
    fills: bool = False
    alternates: bool = False
    life_s: int = 0

    @property
    def is_ours(self):
        """Whether it is Coatcheck."""
        return self.name.startswith("coatcheck")


MINUTE, DAY = 60, 24 * 60 * 60
STORES = {"sqlite": "SQLite", "postgres": "PostgreSQL", "valkey": "Valkey"}

BASES = (
    Contestant(name="starlette", title="Starlette", module="bare_starlette", packages=("starlette", "uvicorn")),
    Contestant(name="fastapi", title="FastAPI", module="bare_fastapi", packages=("fastapi", "uvicorn")),
    Contestant(name="flask", title="Flask", module="bare_flask", packages=("flask", "a2wsgi", "uvicorn")),
    Contestant(name="django", title="Django", module="bare_django", packages=("django", "uvicorn")),
    Contestant(
        name="drf", title="Django REST framework", module="drf_tokens", variant="bare",
        packages=("djangorestframework", "django", "uvicorn"),
    ),
    Contestant(name="node", title="Node", module="better_auth.mjs", variant="bare"),
)  # fmt: skip

_BEARER = {"base": "fastapi", "module": "bearer", "life_s": 15 * MINUTE}
_FLASK_JWT = {"base": "flask", "module": "flask_jwt_extended_bearer", "refreshes": "bearer", "life_s": 15 * MINUTE}
_FLASK_JWT_PACKAGES = ("flask-jwt-extended", "pyjwt")
_DJANGO = {"base": "django", "module": "django_sessions", "fills": True}
_USERS = {"base": "fastapi", "module": "fastapi_users_cookie", "fills": True}
_BETTER = {"base": "node", "module": "better_auth.mjs", "store": "postgres", "fills": True}

PEERS = (
    Contestant(
        name="starlette-signed", title="Starlette `SessionMiddleware`, a signed cookie", module="starlette_signed",
        base="starlette", packages=("starlette", "itsdangerous"), life_s=14 * DAY,
    ),
    Contestant(
        name="starsessions", title="starsessions on Valkey", module="starsessions_valkey", base="starlette",
        store="valkey", packages=("starsessions", "redis"), fills=True,
    ),
    Contestant(
        name="fastapi-users-database", title="fastapi-users, tokens in PostgreSQL", variant="database",
        store="postgres", packages=("fastapi-users", "sqlalchemy", "asyncpg"), **_USERS,
    ),
    Contestant(
        name="fastapi-users-valkey", title="fastapi-users, tokens in Valkey, users in PostgreSQL", variant="valkey",
        store="valkey", packages=("fastapi-users", "redis", "sqlalchemy", "asyncpg"), **_USERS,
    ),
    Contestant(
        name="pyjwt-hs256", title="PyJWT in a dependency, HS256", variant="pyjwt-hs256", packages=("pyjwt",), **_BEARER
    ),
    Contestant(
        name="pyjwt-es256", title="PyJWT in a dependency, ES256", variant="pyjwt-es256",
        packages=("pyjwt", "cryptography"), **_BEARER,
    ),
    Contestant(
        name="joserfc-es256", title="joserfc in a dependency, ES256", variant="joserfc-es256",
        packages=("joserfc", "cryptography"), **_BEARER,
    ),
    Contestant(
        name="flask-session", title="Flask-Session on Valkey", module="flask_session_valkey", base="flask",
        store="valkey", packages=("flask-session", "redis", "msgspec"), fills=True,
    ),
    Contestant(
        name="flask-jwt-extended", title="flask-jwt-extended, HS256", variant="plain", packages=_FLASK_JWT_PACKAGES,
        **_FLASK_JWT,
    ),
    Contestant(
        name="flask-jwt-extended-blocklist", title="flask-jwt-extended, HS256, with a blocklist in Valkey",
        variant="blocklist", store="valkey", packages=(*_FLASK_JWT_PACKAGES, "redis"), **_FLASK_JWT,
    ),
    Contestant(
        name="django-db", title="Django `db` on PostgreSQL", variant="db", store="postgres",
        packages=("django", "psycopg"), **_DJANGO,
    ),
    Contestant(
        name="django-cached-db", title="Django `cached_db` on Valkey and PostgreSQL", variant="cached_db",
        store="valkey", packages=("django", "psycopg", "redis"), **_DJANGO,
    ),
    Contestant(
        name="django-cache", title="Django `cache` on Valkey", variant="cache", store="valkey",
        packages=("django", "redis"), **_DJANGO,
    ),
    Contestant(
        name="simplejwt", title="djangorestframework-simplejwt, HS256", module="drf_tokens", variant="tokens",
        base="drf", packages=("djangorestframework-simplejwt", "pyjwt", "djangorestframework"), refreshes="field",
        life_s=15 * MINUTE,
    ),
    Contestant(name="better-auth", title="better-auth on PostgreSQL", variant="plain", **_BETTER),
    Contestant(
        name="better-auth-cookie-cache", title="better-auth on PostgreSQL, with its cookie cache",
        variant="cookie-cache", life_s=5 * MINUTE, **_BETTER,
    ),
)  # fmt: skip

_WAYS = {"cookie": "cookie", "jwt": "JWT, ES256", "hybrid": "hybrid"}
OURS = (
    *(
        Contestant(
            name=f"coatcheck-{way}-{store}", title=f"Coatcheck, {said}, on {title}", module="coatcheck_starlette",
            variant=way, base="starlette", store=store, packages=("starlette",),
            refreshes="field" if way == "jwt" else "", fills=way == "cookie",
        )
        for way, said in _WAYS.items()
        for store, title in STORES.items()
    ),
    *(
        Contestant(
            name=f"coatcheck-no-memory-{store}", title=f"Coatcheck, cookie, memory off, on {title}",
            module="coatcheck_starlette", variant="cookie-off", base="starlette", store=store, packages=("starlette",),
            alternates=True,
        )
        for store, title in STORES.items()
    ),
    Contestant(
        name="coatcheck-fastapi", title="Coatcheck in FastAPI, cookie, on PostgreSQL", module="coatcheck_fastapi",
        variant="cookie", base="fastapi", store="postgres", packages=("fastapi",),
    ),
    Contestant(
        name="coatcheck-fastapi-jwt", title="Coatcheck in FastAPI, JWT, ES256, on PostgreSQL",
        module="coatcheck_fastapi", variant="jwt", base="fastapi", store="postgres", packages=("fastapi",),
    ),
    Contestant(
        name="coatcheck-flask", title="Coatcheck in Flask, cookie, on Valkey", module="coatcheck_flask", base="flask",
        store="valkey", packages=("flask",),
    ),
    Contestant(
        name="coatcheck-django", title="Coatcheck in Django, its sessions, on PostgreSQL", module="django_sessions",
        variant="coatcheck", base="django", store="postgres", packages=("django", "psycopg"), fills=True,
    ),
)  # fmt: skip

ALL = {one.name: one for one in (*BASES, *PEERS, *OURS)}
COMPARED = (*PEERS, *OURS)
