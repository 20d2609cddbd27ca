"""Django's sessions: in PostgreSQL, in Valkey as a cache, in both; and Coatcheck in their place."""

import os

from django.core.asgi import get_asgi_application
from django.http import JsonResponse

from benchmarks.peers import _django

VARIANT = os.environ["BENCH_VARIANT"]
IS_OURS = VARIANT == "coatcheck"
_django.configure(
    apps=["coatcheck.django" if IS_OURS else "django.contrib.sessions"],
    middleware=[
        "coatcheck.django.middleware.SessionMiddleware"
        if IS_OURS
        else "django.contrib.sessions.middleware.SessionMiddleware"
    ],
    SESSION_ENGINE="coatcheck.django" if IS_OURS else f"django.contrib.sessions.backends.{VARIANT}",
    **({"COATCHECK": {"STORE": os.environ["BENCH_STORE"], "ORIGINS": ("https://127.0.0.1",)}} if IS_OURS else {}),
    **({"SESSION_COOKIE_NAME": "__Host-session"} if IS_OURS else {}),
)


def me(request):
    """Who it is."""
    sub = request.session.get("_auth_user_id")
    return JsonResponse({"sub": sub}, status=200 if sub else 401)


def _enter(session, sub):
    # What django.contrib.auth.login() puts there.
    session["_auth_user_id"], session["_auth_user_hash"] = sub, "0" * 64
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"


def sign_in(request):
    """A new key."""
    request.session.cycle_key()
    _enter(request.session, request.GET["sub"])
    return JsonResponse({})


def sign_out(request):
    """As logout() does."""
    request.session.flush()
    return JsonResponse({})


def fill(request):
    """Sessions as it saves them."""
    kind = type(request.session)
    for number in range(int(request.GET["n"])):
        session = kind()
        _enter(session, str(number))
        session.save()
    return JsonResponse({})


_django.migrate()
_django.route(me=me, sign_in=sign_in, sign_out=sign_out, fill=fill)
app = get_asgi_application()
