"""Django, and nobody asks who it is."""

from django.core.asgi import get_asgi_application
from django.http import JsonResponse

from benchmarks.peers import _django

_django.configure()
_django.route(
    me=lambda request: JsonResponse({"sub": "maria"}),
    sign_in=lambda request: JsonResponse({"sub": request.GET["sub"]}),
)
app = get_asgi_application()
