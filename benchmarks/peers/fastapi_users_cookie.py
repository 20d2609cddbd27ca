"""fastapi-users: a random token in the cookie; tokens in PostgreSQL or in Valkey, users in PostgreSQL."""

import contextlib
import os
import uuid

import redis.asyncio
from fastapi import Depends, FastAPI, Request, Response
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, CookieTransport, RedisStrategy
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import SQLAlchemyAccessTokenDatabase, SQLAlchemyBaseAccessTokenTableUUID
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

DAY = 24 * 60 * 60
IS_IN_DATABASE = os.environ["BENCH_VARIANT"] == "database"
engine = create_async_engine(os.environ["BENCH_POSTGRES"].replace("postgresql:", "postgresql+asyncpg:"))
make_session = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """Of the tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """Who may sign in."""


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    """Who has."""


async def database():
    """One session of SQLAlchemy for a request."""
    async with make_session() as session:
        yield session


async def users(session=Depends(database)):
    """Its users."""
    yield SQLAlchemyUserDatabase(session, User)


async def tokens(session=Depends(database)):
    """Its tokens."""
    yield SQLAlchemyAccessTokenDatabase(session, AccessToken)


class Manager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """With nothing of its own."""


async def manager(users=Depends(users)):
    """For a request."""
    yield Manager(users)


valkey = redis.asyncio.from_url(os.environ["BENCH_VALKEY"], decode_responses=True)


def in_database(tokens=Depends(tokens)):
    """Tokens in a table."""
    return DatabaseStrategy(tokens, lifetime_seconds=14 * DAY)


def in_valkey():
    """Tokens as keys."""
    return RedisStrategy(valkey, lifetime_seconds=14 * DAY)


backend = AuthenticationBackend(
    name="cookie",
    transport=CookieTransport(cookie_max_age=14 * DAY),
    get_strategy=in_database if IS_IN_DATABASE else in_valkey,
)
fastapi_users = FastAPIUsers[User, uuid.UUID](manager, [backend])
current = fastapi_users.current_user(active=True)


@contextlib.asynccontextmanager
async def lifespan(app):
    """The tables, and one user."""
    with contextlib.suppress(Exception):  # another worker is making them
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
    with contextlib.suppress(Exception):
        async with make_session() as session:
            await SQLAlchemyUserDatabase(session, User).create(
                {"email": "maria@example.com", "hashed_password": "none", "is_active": True, "is_verified": True}
            )
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/me")
async def me(user: User = Depends(current)):
    """Who it is."""
    return {"sub": user.email}


@app.post("/sign-in")
async def sign_in(users=Depends(users), strategy=Depends(backend.get_strategy)) -> Response:
    """As its router for /login does, after the password was right."""
    return await backend.login(strategy, await users.get_by_email("maria@example.com"))


@app.post("/sign-out")
async def sign_out(
    found=Depends(fastapi_users.authenticator.current_user_token(active=True)), strategy=Depends(backend.get_strategy)
) -> Response:
    """As its router for /logout does."""
    user, token = found
    return await backend.logout(strategy, user, token)


@app.post("/fill")
async def fill(request: Request, n: int, users=Depends(users), strategy=Depends(backend.get_strategy)):
    """Tokens as it writes them."""
    user = await users.get_by_email("maria@example.com")
    for _ in range(n):
        await strategy.write_token(user)
    return {}
