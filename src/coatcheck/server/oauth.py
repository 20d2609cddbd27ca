"""
Tokens over HTTP: JWKS, metadata, and the OAuth endpoints for clients. Floor 6; may import: floors 0 to 5.

RFC 6749 (``refresh_token``, ``client_credentials``), RFC 7009, RFC 7662, RFC 8414.

Rules of this module:

1. A client proves who it is by its own credentials; a session cookie counts for nothing here, so these addresses need
   no CSRF check (they are exempt).
2. Another client's token is answered like no token: nothing happens, nothing is learnt.
3. What a client may know of a failure is the RFC's ``error``; the reason is for the log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from coatcheck import Claims, Reason, Refused, TokenPair
from coatcheck.server import basic
from coatcheck.server.clients import Clients
from coatcheck.server.database.base import Client, Event
from coatcheck.server.site import OAUTH_PATHS, Site
from coatcheck.tokens.keys import JWKS_CACHE_S

log = logging.getLogger("coatcheck.server")

TOKEN, REVOKE, INTROSPECT = OAUTH_PATHS
PREFIXES = ("/oauth/", "/.well-known/")
RETRY_AFTER_S = 5
_MOST_FIELDS = 50

Fields = Mapping[str, list[str]]
Handler = Callable[["OAuth", Client, Fields, Request], Awaitable[Response]]


class _Wrong(Exception):
    """A request that cannot be answered (RFC 6749, section 5.2)."""

    def __init__(self, error: str, about: str, status: int = 400) -> None:
        super().__init__(error)
        self.error, self.about, self.status = error, about, status


def routes(site: Site) -> list[BaseRoute]:
    """Return the routes."""
    oauth = OAuth(site)
    return [
        Route("/.well-known/jwks.json", oauth.jwks, methods=["GET"]),
        Route("/.well-known/oauth-authorization-server", oauth.metadata, methods=["GET"]),
        Route(TOKEN, oauth.guarded(OAuth.token), methods=["POST"]),
        Route(REVOKE, oauth.guarded(OAuth.revoke), methods=["POST"]),
        Route(INTROSPECT, oauth.guarded(OAuth.introspect), methods=["POST"]),
    ]


class OAuth:
    """The handlers, with what they share."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._auth = site.auth
        self._clients: Clients = site.clients

    async def jwks(self, request: Request) -> Response:
        """Return the public keys (RFC 7517)."""
        # Agrees with the schedule of the keys: a new one is published for longer than this before it signs.
        headers = {"cache-control": f"public, max-age={JWKS_CACHE_S}"}
        body = msgspec.json.encode(self._auth.jwks())
        return Response(body, 200, headers, media_type="application/jwk-set+json")

    async def metadata(self, request: Request) -> Response:
        """Say what there is, and where (RFC 8414)."""
        issuer = self._auth.issuer or ""
        methods = ["client_secret_basic", "client_secret_post"]
        return _json(
            {
                "issuer": issuer,
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "token_endpoint": issuer + TOKEN,
                "token_endpoint_auth_methods_supported": [*methods, "none"],
                "revocation_endpoint": issuer + REVOKE,
                "revocation_endpoint_auth_methods_supported": [*methods, "none"],
                "introspection_endpoint": issuer + INTROSPECT,
                "introspection_endpoint_auth_methods_supported": methods,
                "grant_types_supported": ["refresh_token", "client_credentials"],
                "response_types_supported": [],
            }
        )

    def guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """Read the form and find out which client it is, then call *handler*."""

        async def endpoint(request: Request) -> Response:
            try:
                fields = await _fields(request)
                client = await self._client(request, fields)
                return await handler(self, client, fields, request)
            except _Wrong as wrong:
                log.info("OAuth request refused", extra={"error": wrong.error, "path": request.url.path})
                response = _json({"error": wrong.error, "error_description": wrong.about}, wrong.status)
                if wrong.status == 401:
                    response.headers.update(basic.CHALLENGE)
                elif wrong.status == 503:
                    response.headers["retry-after"] = str(RETRY_AFTER_S)
                return response

        return endpoint

    async def _client(self, request: Request, fields: Fields) -> Client:
        basic = _basic(request.headers.getlist("authorization"))
        ident, secret = _one(fields, "client_id"), _one(fields, "client_secret")
        if basic is not None:
            if secret is not None or ident not in (None, basic[0]):
                raise _Wrong("invalid_request", "Give the client's credentials once: as Basic, or in the body.")
            ident, secret = basic
        client = await self._clients.authenticated(ident, secret) if ident else None
        if client is None:
            raise _Wrong("invalid_client", "Unknown client, wrong secret, or disabled.", 401)
        return client

    # --- tokens ---

    async def token(self, client: Client, fields: Fields, request: Request) -> Response:
        """Give tokens (RFC 6749, sections 4.4 and 6)."""
        grant = _one(fields, "grant_type")
        if grant == "refresh_token":
            return await self._refresh(client, fields, request)
        if grant == "client_credentials":
            return await self._credentials(client, fields)
        if grant is None:
            raise _Wrong("invalid_request", "grant_type is missing.")
        raise _Wrong("unsupported_grant_type", "It is refresh_token or client_credentials.")

    async def _refresh(self, client: Client, fields: Fields, request: Request) -> Response:
        token = _one(fields, "refresh_token")
        if token is None:
            raise _Wrong("invalid_request", "refresh_token is missing.")
        pair = await self._auth.refresh(token, client_id=client.id, audience=_audiences(fields, client) or None)
        if isinstance(pair, TokenPair):
            return _json(token_answer(pair))
        if pair.reason in (Reason.REUSED, Reason.REVOKED, Reason.WRONG_CLIENT):
            visitor = self._site.visitor(request)
            await self._site.trail.note(Event.THEFT, visitor, actor=f"client:{client.id}", why=pair.reason.value)
        if pair.reason is Reason.WRONG_AUDIENCE:
            raise _Wrong("invalid_target", "The token was not issued for that audience.")
        if pair.reason is Reason.UNSURE:
            raise _Wrong("temporarily_unavailable", "Please try again in a moment.", 503)
        raise _Wrong("invalid_grant", "The refresh token is not accepted.")

    async def _credentials(self, client: Client, fields: Fields) -> Response:
        if client.secret is None:
            raise _Wrong("unauthorized_client", "A client without a secret cannot act for itself.")
        audience = _audiences(fields, client) or client.audiences
        for_s = self._auth.policy.access_s
        session = await self._clients.own_session(client, now=self._site.clock.now(), for_s=for_s)
        if isinstance(session, Refused):
            raise _Wrong("invalid_client", "Unknown client, wrong secret, or disabled.", 401)
        minted = await self._site.access_token(session, audience=audience, client_id=client.id)
        if isinstance(minted, Refused):
            raise _Wrong("temporarily_unavailable", "Please try again in a moment.", 503)
        return _json({"access_token": minted[0], "token_type": "Bearer", "expires_in": minted[1]})

    async def revoke(self, client: Client, fields: Fields, request: Request) -> Response:
        """End what a token belongs to, if it is this client's (RFC 7009). Anything else: 200, and nothing happens."""
        token = _one(fields, "token")
        if token is None:
            raise _Wrong("invalid_request", "token is missing.")
        ended = await self._auth.revoke_refresh(token, client_id=client.id)
        if isinstance(ended, Refused):
            claims = self._own(token, client)
            if claims is None:
                # Nothing counts here. It may be ending just now: then 200 is for when it has ended everywhere.
                await self._auth.in_force()
            elif claims.client_id == client.id:
                await self._auth.revoke(claims.sid, reason="access token revoked")
        return _json({})

    async def introspect(self, client: Client, fields: Fields, request: Request) -> Response:
        """Say what an access token for one of this client's audiences says (RFC 7662)."""
        if client.secret is None:
            raise _Wrong("invalid_client", "A client without a secret cannot ask.", 401)
        token = _one(fields, "token")
        if token is None:
            raise _Wrong("invalid_request", "token is missing.")
        claims = self._own(token, client)
        # Last, so that no claim of a session is taken for these.
        ours = {"active": True, "token_type": "Bearer"}
        return _json({"active": False} if claims is None else {**claims.all, **ours})

    def _own(self, token: str, client: Client) -> Claims | None:
        """Return what *token* says, if it counts for one of the audiences of *client*."""
        for audience in client.audiences:
            claims = self._auth.verify(token, audience=audience)
            if isinstance(claims, Claims):
                return claims
            if claims.reason is Reason.UNSURE:
                raise _Wrong("temporarily_unavailable", "Please try again in a moment.", 503)
        return None


async def error(request: Request, status: int, headers: Mapping[str, str] | None) -> Response:
    """Return the answer to a request that no handler has answered: for programs, so it is JSON here too."""
    known = {500: "server_error", 503: "temporarily_unavailable"}
    response = _json({"error": known.get(status, "invalid_request")}, status)
    response.headers.update(headers or {})
    if status == 503:
        response.headers["retry-after"] = str(RETRY_AFTER_S)
    return response


def token_answer(pair: TokenPair) -> dict[str, Any]:
    """Return a pair as RFC 6749, section 5.1 wants it."""
    return {
        "access_token": pair.access_token,
        "token_type": "Bearer",
        "expires_in": pair.expires_in,
        "refresh_token": pair.refresh_token.reveal(),
    }


async def _fields(request: Request) -> Fields:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise _Wrong("invalid_request", "The body is application/x-www-form-urlencoded.")
    try:
        pairs = parse_qsl(
            (await request.body()).decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except (UnicodeDecodeError, ValueError):
        raise _Wrong("invalid_request", "The body cannot be read.") from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if value:  # a parameter without a value counts as left out (RFC 6749, section 3.2)
            fields.setdefault(name, []).append(value)
    return fields


def _one(fields: Fields, name: str) -> str | None:
    values = fields.get(name, [])
    if len(values) > 1:
        raise _Wrong("invalid_request", f"{name} comes twice.")
    return values[0] if values else None


def _audiences(fields: Fields, client: Client) -> tuple[str, ...]:
    """Return the audiences that are asked for: ``audience``, or ``resource`` (RFC 8707)."""
    asked = tuple(dict.fromkeys([*fields.get("audience", []), *fields.get("resource", [])]))
    if not set(asked) <= set(client.audiences):
        raise _Wrong("invalid_target", "This client gets no tokens for that audience.")
    return asked


def _basic(fields: list[str]) -> tuple[str, str] | None:
    """Return id and secret from an ``Authorization: Basic`` field (RFC 6749, section 2.3.1)."""
    try:
        return basic.credentials(fields)
    except ValueError as wrong:
        raise _Wrong("invalid_client", str(wrong), 401) from None


def _json(body: object, status: int = 200) -> Response:
    headers = {"cache-control": "no-store", "pragma": "no-cache"}
    return Response(msgspec.json.encode(body), status, headers, media_type="application/json")
