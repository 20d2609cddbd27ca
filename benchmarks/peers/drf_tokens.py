"""Django REST framework: djangorestframework-simplejwt, rotating and with its blacklist, or nobody who asks."""

import os
from datetime import timedelta

from django.core.asgi import get_asgi_application
from django.http import JsonResponse

from benchmarks.peers import _django

IS_BARE = os.environ["BENCH_VARIANT"] == "bare"
_django.configure(
    apps=["rest_framework", *([] if IS_BARE else ["rest_framework_simplejwt.token_blacklist"])],
    SIMPLE_JWT={
        "ACCESS_TOKEN_LIFETIME": timedelta(minutes=15),
        "ROTATE_REFRESH_TOKENS": True,
        "BLACKLIST_AFTER_ROTATION": True,
        "SIGNING_KEY": "of a benchmark, and as long as it should be: 0123456789abcdef",
    },
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": []
        if IS_BARE
        else ["rest_framework_simplejwt.authentication.JWTStatelessUserAuthentication"],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
)

from rest_framework.permissions import AllowAny, IsAuthenticated  # noqa: E402  only after the settings
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402


class Me(APIView):
    """Who it is."""

    permission_classes = [AllowAny if IS_BARE else IsAuthenticated]

    def get(self, request):
        """From the token alone."""
        return Response({"sub": "maria" if IS_BARE else request.user.id})


def sign_in(request):
    """Both tokens."""
    if IS_BARE:
        return JsonResponse({"sub": request.GET["sub"]})
    from django.contrib.auth import get_user_model
    from rest_framework_simplejwt.tokens import RefreshToken

    user, _ = get_user_model().objects.get_or_create(username="maria")
    pair = RefreshToken.for_user(user)
    return JsonResponse({"access_token": str(pair.access_token), "refresh_token": str(pair)})


def sign_out(request):
    """The refresh token is put onto the blacklist, as its TokenBlacklistView does; the access token lives on."""
    from rest_framework_simplejwt.tokens import RefreshToken

    RefreshToken(request.headers["x-refresh-token"]).blacklist()
    return JsonResponse({})


def refresh(request):
    """As its TokenRefreshView does."""
    from rest_framework_simplejwt.exceptions import TokenError
    from rest_framework_simplejwt.serializers import TokenRefreshSerializer

    asked = TokenRefreshSerializer(data={"refresh": request.headers["x-refresh-token"]})
    try:
        asked.is_valid(raise_exception=True)
    except TokenError:
        return JsonResponse({"error": "token_not_valid"}, status=401)
    return JsonResponse(
        {"access_token": asked.validated_data["access"], "refresh_token": asked.validated_data["refresh"]}
    )


if not IS_BARE:
    _django.migrate()
_django.route(me=Me.as_view(), sign_in=sign_in, sign_out=sign_out, refresh=refresh)
app = get_asgi_application()
