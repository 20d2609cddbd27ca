"""One story over HTTP, over every adapter, on every store."""

import contextlib
import dataclasses

import pytest
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from tests.adapters import app_fastapi, app_flask, app_litestar, app_starlette, app_wsgi, django_site, django_urls
from tests.adapters.serving import OnCluster, OnPostgres, OnSQLite, OnValkey, serving_asgi, serving_wsgi

from coatcheck.testing import AdapterStory


class Starlette(AdapterStory):
    def serve(self, stage):
        return serving_asgi(app_starlette.build(stage))


class FastAPI(AdapterStory):
    def serve(self, stage):
        return serving_asgi(app_fastapi.build(stage))


class Hybrid(AdapterStory):
    """With an access token in a cookie beside the session's."""

    def test_the_token_is_there(self):
        """From the first request after the sign-in on; what is told above is told of the hybrid."""
        with self.play() as (browser, _, _):
            self.sign_in(browser)
            assert self.sub_of(browser) == "maria"
            assert "__Host-access" in browser.cookies


class FastAPIHybrid(Hybrid):
    def serve(self, stage):
        policy = dataclasses.replace(stage.policy, mode="hybrid")
        return serving_asgi(app_fastapi.build(dataclasses.replace(stage, policy=policy)))


class FlaskHybrid(Hybrid):
    def serve(self, stage):
        policy = dataclasses.replace(stage.policy, mode="hybrid")
        app = app_flask.build(dataclasses.replace(stage, policy=policy), issuer=policy.origins[0])
        return serving_wsgi(app, app.extensions["coatcheck"].auth)


class Litestar(AdapterStory):
    def serve(self, stage):
        return serving_asgi(app_litestar.build(stage))


class WSGI(AdapterStory):
    def serve(self, stage):
        return serving_wsgi(*app_wsgi.build(stage))


class Flask(AdapterStory):
    def serve(self, stage):
        app = app_flask.build(stage)
        return serving_wsgi(app, app.extensions["coatcheck"].auth)


class Django(AdapterStory):
    @contextlib.contextmanager
    def serve(self, stage):
        with django_site.site(stage.store, secret=stage.secret) as auth:
            django_urls.MEETING.append(stage.meeting)
            with serving_wsgi(get_wsgi_application(), auth) as address:
                yield address


class DjangoASGI(AdapterStory):
    @contextlib.contextmanager
    def serve(self, stage):
        with django_site.site(stage.store, secret=stage.secret):
            django_urls.MEETING.append(stage.meeting)
            with serving_asgi(get_asgi_application(), lifespan="off") as address:
                yield address


STORES = {"SQLite": OnSQLite, "Postgres": OnPostgres, "Valkey": OnValkey, "Cluster": OnCluster}
for adapter in (Starlette, FastAPI, FastAPIHybrid, Litestar, WSGI, Flask, FlaskHybrid, Django, DjangoASGI):
    for name, store in STORES.items():
        told = type(f"Test{adapter.__name__}On{name}", (store, adapter), {"__doc__": "See AdapterStory."})
        is_quick = store is OnSQLite and not issubclass(adapter, Hybrid)
        globals()[told.__name__] = told if is_quick else pytest.mark.long(told)
