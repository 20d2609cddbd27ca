"""
Django REST framework: access tokens. Floor 5; may import: floors 0 to 4, Django and its REST framework.

    REST_FRAMEWORK = {"DEFAULT_AUTHENTICATION_CLASSES": ["coatcheck.django.rest.AccessTokenAuthentication"]}

Rules of this module:

1. A token that is there decides; a bad one is 401 and never an anonymous request.
2. It counts only while its session does: what was revoked is refused from memory, on the very next request.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from rest_framework import status
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed

from coatcheck._asgi_tokens import BINDING
from coatcheck._door import RETRY_AFTER_S
from coatcheck.django.conf import engine, options
from coatcheck.http import bearer
from coatcheck.records import Claims, Reason, Refused


class Later(APIException):
    """The token cannot be judged now."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "Please try again in a moment."
    default_code = "unsure"
    wait = RETRY_AFTER_S  # REST framework makes Retry-After of it


class AccessTokenAuthentication(BaseAuthentication):
    """``request.user`` from the access token in ``Authorization``, ``request.auth`` its :class:`coatcheck.Claims`."""

    def authenticate(self, request: Any) -> tuple[Any, Claims] | None:
        """Return user and claims; None where there is no bearer token."""
        token = bearer.find(_fields(request))
        if token is None:
            return None
        claims = Refused(Reason.MALFORMED) if isinstance(token, bearer.Unusable) else self.verify(token)
        if isinstance(claims, Refused):
            raise Later if claims.reason is Reason.UNSURE else AuthenticationFailed("The access token is not accepted.")
        user = self.user_of(claims)
        if user is None or not getattr(user, "is_active", True):
            raise AuthenticationFailed("The access token is not accepted.")
        return user, claims

    def verify(self, token: str) -> Claims | Refused:
        """Judge a token. Override it to ask a :class:`coatcheck.blocking.Verifier` of another issuer."""
        found = engine().verify(token, audience=options().audience)
        # One that is bound to a cookie is another kind of token (RFC 8725, section 3.12).
        return Refused(Reason.WRONG_TYPE) if isinstance(found, Claims) and BINDING in found.all else found

    def user_of(self, claims: Claims) -> Any:
        """Return whose token it is: by ``COATCHECK["TOKEN_USER"]``, else the user with that key; None for nobody."""
        chosen = options().token_user
        if chosen is not None:
            return chosen(claims)
        try:
            return get_user_model()._default_manager.filter(pk=claims.sub).first()  # noqa: SLF001  Django's own name
        except (ValueError, TypeError, ValidationError):
            return None

    def authenticate_header(self, request: Any) -> str:
        """Return ``WWW-Authenticate``, with which REST framework answers 401 and not 403."""
        return 'Bearer error="invalid_token"' if _fields(request) else "Bearer"


def _fields(request: HttpRequest) -> list[bytes]:
    field = request.META.get("HTTP_AUTHORIZATION")
    return [] if field is None else [field.encode("latin-1", "replace")]
