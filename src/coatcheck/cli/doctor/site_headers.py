"""Checks of the connection and of the header fields of a site. Floor 6; may import: floor 0."""

from __future__ import annotations

import re

from coatcheck.cli.doctor.answer import Answer
from coatcheck.cli.doctor.checks import Checks, Level, Said
from coatcheck.cli.doctor.seen import STRANGER, Seen
from coatcheck.clock import DAY, MINUTE

HEADERS = Checks[Seen]()

YEAR_S = 365 * DAY
SKEW_MOST_S = MINUTE
_VERSION = re.compile(r"\d+\.\d+")
# Bounded everywhere: a page of nothing but beginnings would be read again from each of them.
_DEBUG = re.compile(
    r"Traceback \(most recent call last\)|Werkzeug Debugger|DEBUG = True|Whoops\\|Stack trace:|Ignition\\"
    r"|Symfony Exception|Application Trace|/node_modules/[^\s:]{1,200}:\d{1,9}:\d"
    r"|\n[ \t]{1,40}at [\w.$<>]{1,200}\([\w.]{1,200}:\d{1,9}\)",
)


@HEADERS.add(
    "https",
    Level.HIGH,
    asvs="12.2.1",
    why="Without TLS everybody on the way reads passwords and sessions, and changes pages.",
    fix="Serve https, and redirect http there.",
)
def _https(seen: Seen) -> Said:
    if not seen.origin:
        return None
    return [] if seen.is_https or seen.is_local else ["it is served over http"]


@HEADERS.add(
    "tls-certificate",
    Level.HIGH,
    asvs="12.2.2",
    why="Whoever clicks a warning away once does so for an attacker, too; programs do not connect at all.",
    fix="Use a certificate of a public authority for this name, and let it be renewed by itself.",
)
def _certificate(seen: Seen) -> Said:
    if not seen.is_https:
        return None
    return [f"the certificate is not accepted: {seen.distrust}"] if seen.distrust else []


@HEADERS.add(
    "hsts",
    Level.MEDIUM,
    asvs="3.4.1",
    why="A browser that was not told to come by https only can be led to http by whoever is on the way.",
    fix="Send Strict-Transport-Security: max-age=31536000; includeSubDomains on every response.",
)
def _hsts(seen: Seen) -> Said:
    if not seen.is_https:
        return None
    missing = [answer for answer in seen.visited if answer.one("strict-transport-security") is None]
    return [f"{answer.what} has no Strict-Transport-Security" for answer in missing]


@HEADERS.add(
    "hsts-age",
    Level.LOW,
    asvs="3.4.1",
    why="What a browser forgets after a few days protects nobody who comes back after a holiday.",
    fix="Give Strict-Transport-Security a max-age of 31536000 (a year) or more.",
)
def _hsts_age(seen: Seen) -> Said:
    said = [(answer, answer.one("strict-transport-security")) for answer in seen.visited]
    if not seen.is_https or not any(value for _, value in said):
        return None
    return [f"{answer.what} says so for less than a year" for answer, value in said if value and _age_s(value) < YEAR_S]


def _age_s(value: str) -> int:
    found = re.search(r"max-age\s*=\s*\"?(\d{1,12})", value, re.IGNORECASE)
    return int(found[1]) if found else 0


@HEADERS.add(
    "nosniff",
    Level.MEDIUM,
    asvs="3.4.4",
    why="Without it some browsers run as a script what was uploaded as a picture.",
    fix="Send X-Content-Type-Options: nosniff on every response.",
)
def _nosniff(seen: Seen) -> Said:
    return _lacking(seen.documents, "x-content-type-options", "nosniff", "X-Content-Type-Options: nosniff")


def _lacking(answers: list[Answer], name: str, wanted: str, shown: str) -> Said:
    if not answers:
        return None
    return [f"{one.what} has no {shown}" for one in answers if (one.one(name) or "").strip().lower() != wanted]


@HEADERS.add(
    "referrer-policy",
    Level.LOW,
    asvs="3.4.5",
    why="The address of a page, with all that its query holds, is told to every site that it links to.",
    fix="Send Referrer-Policy: same-origin. With no-referrer browsers hide the origin of your own forms from you.",
)
def _referrer(seen: Seen) -> Said:
    found = seen.pages
    bad = []
    for answer, page in found:
        said = (answer.one("referrer-policy") or page.metas.get("referrer", "")).lower()
        last = [part.strip() for part in said.split(",")][-1]
        if last in ("", "unsafe-url", "no-referrer-when-downgrade"):
            bad.append(f"{answer.what} has {'the Referrer-Policy ' + last if last else 'no Referrer-Policy'}")
    return bad if found else None


@HEADERS.add(
    "opener-policy",
    Level.LOW,
    asvs="3.4.8",
    why="A window that another site has opened can be watched and led elsewhere by it.",
    fix="Send Cross-Origin-Opener-Policy: same-origin (same-origin-allow-popups for sign-ins in a window).",
)
def _opener(seen: Seen) -> Said:
    found = [answer for answer in seen.documents if answer.is_html]
    bad = [
        one
        for one in found
        if (one.one("cross-origin-opener-policy") or "").partition(";")[0].strip()
        not in ("same-origin", "same-origin-allow-popups", "noopener-allow-popups")
    ]
    return [f"{one.what} has no Cross-Origin-Opener-Policy" for one in bad] if found else None


@HEADERS.add(
    "cors-any",
    Level.LOW,
    asvs="3.4.2",
    why="A page that every site may read is read by every site, also from inside a network.",
    fix="Leave Access-Control-Allow-Origin out of pages; name the origins where an interface is for others.",
)
def _cors_any(seen: Seen) -> Said:
    if seen.cross is None:
        return None
    said = (seen.cross.one("access-control-allow-origin") or "").strip()
    return (
        [f"{seen.cross.what} may be read by {'every site' if said == '*' else 'sandboxed pages'}"]
        if said
        in (
            "*",
            "null",
        )
        else []
    )


@HEADERS.add(
    "cors-reflected",
    Level.HIGH,
    asvs="3.4.2",
    why="Whoever asks is allowed: any site reads what a signed-in visitor sees, as soon as cookies go along.",
    fix="Compare Origin with a list of your own, exactly, and send Vary: Origin.",
)
def _cors_reflected(seen: Seen) -> Said:
    if seen.cross is None:
        return None
    said = (seen.cross.one("access-control-allow-origin") or "").strip()
    return [f"{seen.cross.what} allows an origin that nobody has"] if said == f"https://{STRANGER}" else []


@HEADERS.add(
    "forwarded-host",
    Level.MEDIUM,
    asvs="4.1.3",
    why="Links in mails and pages then lead where a visitor's header says: a password reset goes to the attacker.",
    fix="Build links from configuration; believe X-Forwarded-Host only from your proxy, and let that overwrite it.",
)
def _forwarded(seen: Seen) -> Said:
    one = seen.forwarded
    if one is None:
        return None
    is_in = STRANGER in (one.one("location") or "") or STRANGER.encode() in one.body
    return [f"{one.what} repeats the host of a visitor's X-Forwarded-Host"] if is_in else []


@HEADERS.add(
    "error-headers",
    Level.MEDIUM,
    asvs="3.4.4",
    why="A page for what is not there is a page like any other, and shows what was asked for.",
    fix="Set security headers outside of everything else, so that errors have them, too.",
)
def _errors(seen: Seen) -> Said:
    if seen.missing is None or not seen.documents:
        return None
    names = ["x-content-type-options", "strict-transport-security"]
    names += ["content-security-policy"] if seen.missing.is_html else []
    lost = [name for name in names if seen.documents[0].one(name) and not seen.missing.one(name)]
    return [f"the answer {seen.missing.status} to {seen.missing.what} has no {name}" for name in lost]


@HEADERS.add(
    "debug-page",
    Level.HIGH,
    asvs="13.4.2",
    why="A page with a traceback shows code, settings, and often secrets.",
    fix="Turn the debug mode off.",
)
def _debug(seen: Seen) -> Said:
    answers = [one for one in (seen.missing, *seen.documents) if one is not None and one.body]
    found = [f"{one.what} answers with a page for developers" for one in answers if _DEBUG.search(one.text)]
    return found if answers else None


@HEADERS.add(
    "server-version",
    Level.LOW,
    asvs="13.4.6",
    why="A version says which known holes to try.",
    fix="Turn off what tells versions: server_tokens off (nginx), ServerTokens Prod (Apache), no X-Powered-By.",
)
def _version(seen: Seen) -> Said:
    names = ("server", "x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-generator")
    found = [
        f"{answer.what} tells a version in {name}"
        for answer in seen.visited
        for name in names
        if _VERSION.search(answer.one(name) or "")
    ]
    return found if seen.visited else None


@HEADERS.add(
    "clock",
    Level.LOW,
    asvs="9.2.1",
    why="Tokens begin and end by the clock of whoever reads them; by a wrong one they live too long, or not yet.",
    fix="Let the machine set its clock by NTP (chrony, systemd-timesyncd).",
)
def _clock(seen: Seen) -> Said:
    if seen.skew_s is None:
        return None
    way = "ahead of" if seen.skew_s > 0 else "behind"
    return [f"its clock is {abs(seen.skew_s):.0f} s {way} this machine's"] if abs(seen.skew_s) > SKEW_MOST_S else []
