"""The settings of the Django applications: PostgreSQL with its pool, the cache in Valkey, and nothing needless."""

import os
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.http import JsonResponse
from django.urls import path

DAY = 24 * 60 * 60


def missing(request):
    """What a library does not have."""
    return JsonResponse({"error": "there is no such thing here"}, status=404)


def configure(*, apps=(), middleware=(), **more):
    """Set Django up, and make the tables."""
    where = urlsplit(os.environ["BENCH_POSTGRES"])
    settings.configure(
        SECRET_KEY="of a benchmark, and as long as it should be: 0123456789abcdef",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="benchmarks.peers._django",
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": where.path.removeprefix("/"),
                "USER": where.username,
                "PASSWORD": unquote(where.password or ""),
                "HOST": where.hostname,
                "PORT": where.port,
                "OPTIONS": {"pool": True},  # under ASGI connections are not kept by thread
            }
        },
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": os.environ["BENCH_VALKEY"],
            }
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", *apps],
        MIDDLEWARE=list(middleware),
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_AGE=14 * DAY,
        USE_TZ=True,
        LOGGING_CONFIG=None,
        **more,
    )
    django.setup()


def migrate():
    """Make the tables, if another worker is not making them."""
    from django.core.management import call_command
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(1)")
        try:
            call_command("migrate", verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(1)")
    connection.close()


urlpatterns: list = []


def route(*, me, sign_in, sign_out=missing, refresh=missing, fill=missing):
    """Say what answers."""
    urlpatterns[:] = [
        path("me", me),
        path("sign-in", sign_in),
        path("sign-out", sign_out),
        path("refresh", refresh),
        path("fill", fill),
    ]
