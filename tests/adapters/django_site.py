"""
A Django project for tests: configured once in a process, with users whose key is their name.

Import it before anything of Django's. ``site(stage)`` gives it the store of a stage.
"""

import atexit
import contextlib
import shutil
import tempfile

import django
from django.conf import settings

FOLDER = tempfile.mkdtemp(prefix="coatcheck-django-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

if not settings.configured:
    settings.configure(
        DEBUG=False,
        SECRET_KEY="of tests",
        BASE_DIR=FOLDER,
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.adapters.django_urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/people.db"}},
        AUTH_USER_MODEL="adapters_people.Person",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
            "rest_framework",
            "coatcheck.django",
            "tests.adapters.people.apps.People",
        ],
        MIDDLEWARE=[
            "coatcheck.django.middleware.SessionMiddleware",
            "coatcheck.django.middleware.CsrfMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["coatcheck.django.rest.AccessTokenAuthentication"],
            "UNAUTHENTICATED_USER": None,
        },
        SIMPLE_JWT={"USER_ID_FIELD": "pk", "SIGNING_KEY": "of tests, and long enough for them"},
        STATIC_URL="/static/",
        LOGIN_URL="/admin/login/",
        SESSION_ENGINE="coatcheck.django",
        SESSION_COOKIE_NAME="__Host-session",
        SESSION_COOKIE_SECURE=True,
        COATCHECK={},
        USE_TZ=True,
        LOGGING_CONFIG=None,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, run_syncdb=True)

ORIGIN = "https://app.example.com"


@contextlib.contextmanager
def site(store, *, policy=None, secret=None, **more):
    """Keep sessions in *store*; give the engine."""
    from django.db import connections
    from django.test import override_settings

    from coatcheck.django.conf import engine, reset

    given = {"STORE": store, "SECRET": secret, "ORIGINS": (ORIGIN,), **more}
    if policy is not None:
        given["POLICY"] = policy
    with override_settings(COATCHECK=given):
        try:
            yield engine()
        finally:
            reset()
            connections.close_all()
