"""One story over HTTP, over every adapter, on every store."""

import pytest
from tests.adapters import app_fastapi, app_flask, app_starlette, app_wsgi
from tests.adapters.serving import OnCluster, OnPostgres, OnSQLite, OnValkey, serving_asgi, serving_wsgi

from coatcheck.testing import AdapterStory


class Starlette(AdapterStory):
    def serve(self, stage):
        return serving_asgi(app_starlette.build(stage))


class FastAPI(AdapterStory):
    def serve(self, stage):
        return serving_asgi(app_fastapi.build(stage))


class WSGI(AdapterStory):
    def serve(self, stage):
        return serving_wsgi(*app_wsgi.build(stage))


class Flask(AdapterStory):
    def serve(self, stage):
        app = app_flask.build(stage)
        return serving_wsgi(app, app.extensions["coatcheck"].auth)


STORES = {"SQLite": OnSQLite, "Postgres": OnPostgres, "Valkey": OnValkey, "Cluster": OnCluster}
for adapter in (Starlette, FastAPI, WSGI, Flask):
    for name, store in STORES.items():
        told = type(f"Test{adapter.__name__}On{name}", (store, adapter), {"__doc__": "See AdapterStory."})
        globals()[told.__name__] = told if store is OnSQLite else pytest.mark.long(told)
