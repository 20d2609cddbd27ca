"""
Checks of the cookies of a site. Floor 6; may import: floor 0.

A session cookie is one that somebody named, or that has the name or the value of one. What a site deletes is not looked
at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from coatcheck.cli.doctor.answer import Answer, Cookie, jwt_parts, jwts_in
from coatcheck.cli.doctor.checks import Checks, Level, Said
from coatcheck.cli.doctor.seen import Seen, bare
from coatcheck.clock import DAY, HOUR

COOKIES = Checks[Seen]()

ENOUGH_BITS = 128
LONGEST_S = 30 * DAY
LONGEST_JWT_S = HOUR
_MOST_BYTES = 4096
_SHORTEST_COMPARED = 16  # shorter values are in many a page by chance
_IN_URLS = (
    "sid",
    "sessionid",
    "session_id",
    "jsessionid",
    "phpsessid",
    "access_token",
    "id_token",
    "refresh_token",
    "jwt",
)


def _said(pairs: Iterable[tuple[Answer, Cookie]], wrong: Callable[[Cookie], str | None]) -> Said:
    """Return what is *wrong* with cookies; None where there is no cookie."""
    pairs = list(pairs)
    if not pairs:
        return None
    found = ((answer, cookie, wrong(cookie)) for answer, cookie in pairs)
    return [f"{answer.what} sets {cookie.shown} {said}" for answer, cookie, said in found if said]


def _when(is_so: object, said: str) -> str | None:
    return said if is_so else None


@COOKIES.add(
    "cookie-secure",
    Level.HIGH,
    asvs="3.3.1",
    why="Without Secure the cookie also travels over http, where anybody on the way reads it.",
    fix="Set Secure on every cookie. Browsers accept it on http://localhost, too.",
)
def _secure(seen: Seen) -> Said:
    return _said(seen.cookies, lambda one: _when(not one.has("secure"), "without Secure"))


@COOKIES.add(
    "cookie-prefix",
    Level.MEDIUM,
    asvs="3.3.1",
    why="A name without a prefix can be set by any sibling domain, and over http: somebody else's session is planted.",
    fix="Call the session cookie __Host-…, with Secure, Path=/ and no Domain; browsers then refuse all other copies.",
)
def _prefix(seen: Seen) -> Said:
    return _said(
        seen.sessions,
        lambda one: _when(not one.name.startswith(("__Host-", "__Secure-", "__Http-")), "without a prefix"),
    )


@COOKIES.add(
    "cookie-prefix-kept",
    Level.HIGH,
    asvs="3.3.3",
    why="Browsers drop a cookie that does not keep what its prefix says, and the sign-in seems to work and does not.",
    fix="For __Host-: Secure, Path=/ written out, no Domain. For __Secure-: Secure. Keep the case of the prefix.",
)
def _prefix_kept(seen: Seen) -> Said:
    return _said(seen.cookies, _breaks_prefix)


def _breaks_prefix(one: Cookie) -> str | None:
    name = one.name.lower()
    if name.startswith(("__host-", "__secure-", "__http-")) and not one.name.startswith(
        ("__Host-", "__Secure-", "__Http-")
    ):
        return "with a prefix in another case"
    if not name.startswith("__host-"):
        return None
    if one.attributes.get("path") != "/":
        return "without Path=/"
    return _when(one.attributes.get("domain"), "with a Domain, against its prefix")


@COOKIES.add(
    "cookie-domain",
    Level.MEDIUM,
    asvs="3.3.3",
    why="With a Domain the session goes to every host below it: the weakest of them gives it away.",
    fix="Leave Domain out, and call the cookie __Host-…. Hosts that share a sign-in need their own cookies, or tokens.",
)
def _domain(seen: Seen) -> Said:
    pairs = [pair for pair in seen.sessions if not pair[1].name.lower().startswith("__host-")]
    return _said(pairs or seen.sessions, lambda one: _when(pairs and one.attributes.get("domain"), "with a Domain"))


@COOKIES.add(
    "cookie-http-only",
    Level.HIGH,
    asvs="3.3.4",
    why="A script in the page, also one that does not belong there, reads the session and takes it elsewhere.",
    fix="Set HttpOnly on the session cookie; what scripts need to know belongs into another one.",
)
def _http_only(seen: Seen) -> Said:
    return _said(seen.sessions, lambda one: _when(not one.has("httponly"), "without HttpOnly"))


@COOKIES.add(
    "cookie-same-site",
    Level.MEDIUM,
    asvs="3.3.2",
    why="Where SameSite is not written, browsers let cross-site posts through for two minutes, and some for ever.",
    fix="Write SameSite=Lax on every cookie; Strict where no link from elsewhere must arrive signed in.",
)
def _same_site(seen: Seen) -> Said:
    return _said(seen.cookies, lambda one: _when(not one.same_site, "without SameSite"))


@COOKIES.add(
    "cookie-same-site-none",
    Level.MEDIUM,
    asvs="3.3.2",
    why="SameSite=None sends the session with every request that any other site makes a browser send.",
    fix="Use SameSite=Lax. Who must live in a frame of another site needs None, and then checks every unsafe request.",
)
def _same_site_none(seen: Seen) -> Said:
    return _said(seen.sessions, lambda one: _when(one.same_site == "none", "with SameSite=None"))


@COOKIES.add(
    "cookie-size",
    Level.LOW,
    asvs="3.3.5",
    why="Browsers drop a cookie of more than 4,096 bytes without a word.",
    fix="Keep data on the server, and a random id in the cookie.",
)
def _size(seen: Seen) -> Said:
    return _said(
        seen.cookies,
        lambda one: _when(len(one.name) + len(one.value) > _MOST_BYTES, f"with {len(one.name) + len(one.value)} bytes"),
    )


@COOKIES.add(
    "cookie-twice",
    Level.LOW,
    asvs="3.3.2",
    why="Of two cookies with one name in one response the last counts, and which that is proxies may change.",
    fix="Send one Set-Cookie for each name: a sign-in that deletes and sets only sets (RFC 6265bis, section 4.1.1).",
)
def _twice(seen: Seen) -> Said:
    answers = [answer for answer in seen.answers if answer.cookies]
    found = []
    for answer in answers:
        places = [(one.name, one.attributes.get("path"), one.attributes.get("domain")) for one in answer.cookies]
        found += [
            f"{answer.what} sets {one.shown} more than once"
            for one, place in zip(answer.cookies, places, strict=True)
            if places.count(place) > 1
        ]
    return found if answers else None


@COOKIES.add(
    "cookie-lifetime",
    Level.LOW,
    asvs="7.3.2",
    why="What a browser keeps for more than 30 days is there for whoever finds the device (SP 800-63B-4, AAL1).",
    fix="Give the cookie a Max-Age of at most 30 days, or none, and end the session on the server at the same time.",
)
def _lifetime(seen: Seen) -> Said:
    def long(one: Cookie) -> str | None:
        lives_s = one.lives_s(seen.now)
        return _when(lives_s and lives_s > LONGEST_S + HOUR, f"for {(lives_s or 0) / DAY:.0f} days")

    return _said(seen.sessions, long)


@COOKIES.add(
    "cookie-entropy",
    Level.HIGH,
    asvs="7.2.3",
    why="A session token that can be guessed needs no stealing.",
    fix="Make tokens of 32 random bytes from the system's generator: 43 letters of base64url.",
)
def _entropy(seen: Seen) -> Said:
    def short(one: Cookie) -> str | None:
        if one.jwt or one.is_uuid or one.most_bits >= ENOUGH_BITS:
            return None
        return f"with a value of {len(one.value)} characters, {one.most_bits:.0f} random bits at most"

    return _said(seen.sessions, short)


@COOKIES.add(
    "cookie-uuid",
    Level.LOW,
    asvs="11.5.1",
    why="A UUID is made to be unique, not to be secret: some kinds tell time and machine, none has 128 random bits.",
    fix="Make tokens of 32 random bytes from the system's generator.",
)
def _uuid(seen: Seen) -> Said:
    return _said(seen.sessions, lambda one: _when(one.is_uuid, "with a UUID for a value"))


@COOKIES.add(
    "session-anonymous",
    Level.LOW,
    asvs="7.6.2",
    why="A session that begins at the first visit, signed in or not, can be planted, and fills the store by itself.",
    fix="Begin a session when somebody signs in, or when there is something to keep.",
)
def _anonymous(seen: Seen) -> Said:
    if not seen.visited:
        return None
    return _said([pair for pair in seen.sessions if pair[0] in seen.visited], lambda one: "for a visitor") or []


@COOKIES.add(
    "session-in-body",
    Level.HIGH,
    asvs="3.3.4",
    why="What HttpOnly hides from scripts is given to them in the body.",
    fix="Send the session token in Set-Cookie and nowhere else.",
)
def _in_body(seen: Seen) -> Said:
    found = [
        f"{answer.what} holds the value of {one.shown} in its body"
        for answer, one in seen.sessions
        if len(one.value) >= _SHORTEST_COMPARED and one.value.encode() in answer.body
    ]
    return found if any(answer.body for answer, _ in seen.sessions) else None


@COOKIES.add(
    "session-in-url",
    Level.HIGH,
    asvs="14.2.1",
    why="Addresses are kept in histories, in logs of proxies, and go to other sites as the referrer.",
    fix="Carry sessions in cookies and tokens in headers, never in a URL.",
)
def _in_url(seen: Seen) -> Said:
    if not seen.answers:
        return None
    targets = [(answer, answer.one("location") or "") for answer in seen.answers]
    targets += [(answer, link) for answer, page in seen.pages for link in page.links]
    return [
        f"{answer.what} leads to {bare(url)} with a token in its query" for answer, url in targets if _has_token(url)
    ]


def _has_token(url: str) -> bool:
    low = url.lower()
    starts = (f"{mark}{name}=" for name in _IN_URLS for mark in "?&;#")
    if any(start in low for start in starts):
        return True
    return bool(jwts_in(url))


def _jwts(seen: Seen) -> list[tuple[str, dict[str, object], dict[str, object]]]:
    texts = [(f"{answer.what}, cookie {one.shown},", one.jwt or "") for answer, one in seen.cookies]
    texts += [(f"{answer.what}, in its body,", answer.text) for answer in seen.saved]
    found = []
    for where, text in texts:
        for token in jwts_in(text):
            parts = jwt_parts(token)
            if parts is not None:
                found.append((where, *parts))
    return found


@COOKIES.add(
    "jwt-algorithm",
    Level.HIGH,
    asvs="9.1.2",
    why="A token without a signature is whatever its holder writes.",
    fix="Sign with ES256, Ed25519 or PS256; refuse 'none' and everything that is not on a list.",
)
def _jwt_algorithm(seen: Seen) -> Said:
    tokens = _jwts(seen)
    found = [
        f"{where} carries a JWT with alg none" for where, head, _ in tokens if str(head.get("alg")).lower() == "none"
    ]
    return found if tokens else None


@COOKIES.add(
    "jwt-lifetime",
    Level.MEDIUM,
    asvs="7.4.1",
    why="A signed token counts until it expires, whoever signs out: nobody asks a server.",
    fix="Let access tokens live for 15 minutes, or ask at each use whether their session was ended.",
)
def _jwt_lifetime(seen: Seen) -> Said:
    tokens = _jwts(seen)
    found = []
    for where, _, claims in tokens:
        end, begin = claims.get("exp"), claims.get("iat", seen.now)
        if not isinstance(end, int | float):
            found.append(f"{where} carries a JWT that never expires")
        elif isinstance(begin, int | float) and end - begin > LONGEST_JWT_S:
            found.append(f"{where} carries a JWT that lives for {(end - begin) / HOUR:.0f} hours")
    return found if tokens else None


@COOKIES.add(
    "cache-cookie",
    Level.MEDIUM,
    asvs="14.2.2",
    why="A shared cache that keeps a response with its Set-Cookie signs the next visitor in as somebody else.",
    fix="Send Cache-Control: no-store with every response that sets a cookie.",
)
def _cached(seen: Seen) -> Said:
    answers = [answer for answer in seen.answers if answer.cookies]
    found = [
        f"{answer.what} sets a cookie and is not marked no-store or private"
        for answer in answers
        if not {"no-store", "private"} & set(answer.directives)
    ]
    return found if answers else None
