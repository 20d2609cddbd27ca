"""
Django: a session engine, and what belongs to it. Floor 5; may import: floors 0 to 4, Django.

    INSTALLED_APPS = [..., "coatcheck.django"]
    SESSION_ENGINE = "coatcheck.django"
    COATCHECK = {"STORE": "sqlite:////srv/app/coatcheck.db"}

- :mod:`.conf`: the settings, and the engine that they make.
- :mod:`.store`: :class:`SessionStore`, what Django calls ``request.session``.
- :mod:`.calls`: what a view asks: :func:`current`, :func:`sign_in`, :func:`signed_in`.
- :mod:`.middleware`, :mod:`.signals`, :mod:`.checks`, :mod:`.admin`, :mod:`.rest`: as they say.

Rules of this room:

1. A user's key, as text, is the subject. Who is logged in is the session's, not its data's: it comes from memory, and
   ends with the session.
2. The session key is the token. It is in the cookie and nowhere else; the store has its digest.
3. Of the data only the keys that a request changed are written, so that parallel requests lose nothing of each other's.
4. Nothing here reads the database of the application, but for the user of an access token.
"""

from coatcheck.django.calls import current, sign_in, signed_in
from coatcheck.django.conf import engine
from coatcheck.django.store import SessionStore

__all__ = ["SessionStore", "current", "engine", "sign_in", "signed_in"]
