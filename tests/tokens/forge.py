"""Access tokens made by hand: all but right."""

import json

from coatcheck import Refused
from coatcheck.tokens import base64url

ISSUER = "https://auth.example.com"
GONE = ...


def b64(value):
    """Base64url of bytes, or of a value's JSON."""
    return base64url.encode(value if isinstance(value, bytes) else json.dumps(value).encode())


class Forge:
    """Makes tokens of *auth*'s own kind, signed with its own key, and lets each be a little different."""

    def __init__(self, auth, session, *, audience="orders"):
        self.auth, self.audience = auth, audience
        self.genuine = auth.access_token(session, audience=audience)
        head, body, _ = self.genuine.split(".")
        self.header, self.body = (json.loads(base64url.decode(part)) for part in (head, body))
        self.key = auth._tokens.keyring.keys.signer(auth.clock.now())

    def token(self, *, header=None, body=None, signature=None, raw_header=None, raw_body=None):
        """A token with these members altered (GONE: left out), signed unless *signature* says otherwise."""
        head = b64(self._with(self.header, header) if raw_header is None else raw_header)
        said = b64(self._with(self.body, body) if raw_body is None else raw_body)
        signed = f"{head}.{said}"
        return f"{signed}.{b64(self.key.sign(signed.encode()) if signature is None else signature)}"

    def _with(self, members, change):
        return {name: value for name, value in {**members, **(change or {})}.items() if value is not GONE}

    def why(self, token, **kwargs):
        """The reason of the refusal; None when it is accepted."""
        found = self.auth.verify(token, audience=kwargs.get("audience", self.audience))
        return found.reason if isinstance(found, Refused) else None

    def of(self, **kwargs):
        """:meth:`why` for :meth:`token`."""
        return self.why(self.token(**kwargs))
