"""
What a sign-in gives a browser to carry, and what a sign-out takes from it. Floor 6; may import: floors 0 to 5.

The JSON interface and the pages both do it here, so they cannot differ.
"""

from __future__ import annotations

from starlette.responses import Response

from coatcheck.http import cookie
from coatcheck.policy import COOKIE_LONGEST_S, CookiePolicy
from coatcheck.server.desk import Entered
from coatcheck.server.site import Site
from coatcheck.server.visitor import DEVICE_COOKIE

_DEVICE = CookiePolicy(name=DEVICE_COOKIE)


def cookies_of(site: Site, entered: Entered) -> list[str]:
    """Return the ``Set-Cookie`` values for somebody who has just signed in."""
    found = [site.auth.cookie(entered.signed_in)]
    if entered.device_cookie is not None:
        found.append(cookie.write(_DEVICE, entered.device_cookie, max_age_s=COOKIE_LONGEST_S))
    return found


def signed_out(response: Response, site: Site) -> None:
    """Make *response* take the session cookie away, and what the browser has kept of pages."""
    response.headers.append("set-cookie", site.auth.clear_cookie())
    # Not "cookies": the device cookie stays, or its owner could be locked out by a stranger who guesses.
    response.headers["clear-site-data"] = '"cache", "storage"'
