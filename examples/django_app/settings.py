"""
The settings. What is Coatcheck's stands together at the end.

The environment may say ``STORE`` (where sessions are), ``DATABASE`` (the file with the users) and ``ORIGIN``.
"""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

BASE_DIR = Path.cwd()
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
# Kept in a file, so that several processes, and the next start, have the same.
_KEY = BASE_DIR / "django-secret-key"
if not _KEY.exists():
    _KEY.touch(0o600)
    _KEY.write_text(get_random_secret_key())
SECRET_KEY = _KEY.read_text()
ROOT_URLCONF = "examples.django_app.urls"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", BASE_DIR / "users.sqlite3"),
        "OPTIONS": {"timeout": 20},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "coatcheck.django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "coatcheck.django.middleware.SessionMiddleware",
    "coatcheck.django.middleware.CsrfMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
LOGIN_URL, LOGIN_REDIRECT_URL, LOGOUT_REDIRECT_URL = "/sign-in", "/", "/"
STATIC_URL = "/static/"
TIME_ZONE, USE_TZ = "UTC", True
SECURE_REFERRER_POLICY = "same-origin"

SESSION_ENGINE = "coatcheck.django"
SESSION_COOKIE_NAME = "__Host-session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
COATCHECK = {
    "STORE": os.environ.get("STORE", f"sqlite:///{BASE_DIR / 'coatcheck.db'}"),
    "ORIGINS": (os.environ.get("ORIGIN", "http://localhost:8000"),),
}
