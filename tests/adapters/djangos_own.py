"""
Django's own tests of session engines, over ours: ``python djangos_own.py FOLDER STORE``. Prints JSON.

FOLDER holds ``sessions_tests`` as it is in Django's source.
"""

from __future__ import annotations

import io
import json
import sys
import unittest

import django
from django.conf import settings

FOLDER, STORE = sys.argv[1:]
sys.path.insert(0, FOLDER)

# Each with its reason. They are of the mixin; everything else in it must pass.
EXCEPTIONS: dict[str, str] = {}

settings.configure(
    SECRET_KEY="of tests",
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "coatcheck.django",
        "sessions_tests",
    ],
    SESSION_ENGINE="coatcheck.django",
    COATCHECK={"STORE": STORE},
    USE_TZ=False,
)
django.setup()

from django.test import SimpleTestCase  # noqa: E402
from sessions_tests.tests import SessionTestsMixin  # noqa: E402

from coatcheck.django import SessionStore  # noqa: E402


class Ours(SessionTestsMixin, SimpleTestCase):
    """The mixin over our engine."""

    backend = SessionStore


suite = unittest.TestLoader().loadTestsFromTestCase(Ours)
result = unittest.TextTestRunner(stream=io.StringIO(), verbosity=0).run(suite)
failed = {case.id().rpartition(".")[2]: why.splitlines()[-1] for case, why in result.failures + result.errors}
print(
    json.dumps(
        {
            "django": django.get_version(),
            "run": result.testsRun,
            "failed": {name: why for name, why in failed.items() if name not in EXCEPTIONS},
            "needless exceptions": sorted(set(EXCEPTIONS) - set(failed)),
        }
    )
)
