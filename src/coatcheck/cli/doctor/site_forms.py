"""
Checks of the pages of a site: forms, links, scripts. Floor 6; may import: floor 0.

What guards a form on the server cannot be seen without sending it, which the doctor does not. So these say what a page
shows of it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from coatcheck.cli.doctor.answer import Answer
from coatcheck.cli.doctor.checks import Checks, Level, Said
from coatcheck.cli.doctor.page import Form
from coatcheck.cli.doctor.seen import Seen, bare, origin_of

FORMS = Checks[Seen]()

_SIGN_OUT = re.compile(r"(?:^|/)(?:sign|log)[-_]?(?:out|off)/?$", re.IGNORECASE)
_TOKEN = re.compile(r"c[sr]f|xsrf|token|authenticity|nonce|verification", re.IGNORECASE)
_LEAST_TOKEN = 16


def _forms(seen: Seen) -> list[tuple[Answer, Form]]:
    return [(answer, form) for answer, page in seen.pages for form in page.forms]


def _passwords(seen: Seen) -> list[tuple[Answer, Form]]:
    return [(answer, form) for answer, form in _forms(seen) if form.has_password]


@FORMS.add(
    "form-https",
    Level.HIGH,
    asvs="12.2.1",
    why="The password goes out in the clear, though the page came by https.",
    fix="Let the form's action be a path of the same origin.",
)
def _form_https(seen: Seen) -> Said:
    found = _passwords(seen) if seen.is_https else []
    bad = [answer for answer, form in found if seen.url(answer, form.action).startswith("http:")]
    return [f"{answer.what} sends a password to http" for answer in bad] if found else None


@FORMS.add(
    "form-method",
    Level.HIGH,
    asvs="14.2.1",
    why="A form that is sent by GET puts the password into the address, and so into histories and logs.",
    fix="Write method=post at the form.",
)
def _form_method(seen: Seen) -> Said:
    found = _passwords(seen)
    return (
        [f"{answer.what} sends a password by GET" for answer, form in found if form.method == "get"] if found else None
    )


@FORMS.add(
    "form-token",
    Level.LOW,
    asvs="3.5.1",
    why="Another site can send the form in a visitor's name, the sign-in with its own account included.",
    fix="Refuse unsafe requests by Sec-Fetch-Site and Origin, with a token in the form for browsers that send neither.",
)
def _form_token(seen: Seen) -> Said:
    found = [(answer, form) for answer, form in _forms(seen) if form.method == "post" and _stays(seen, answer, form)]
    bad = [answer for answer, form in found if not _has_token(form) and not _meta_token(seen, answer)]
    return [f"{answer.what} has a form without a token against forgery" for answer in bad] if found else None


def _stays(seen: Seen, answer: Answer, form: Form) -> bool:
    return not seen.origin or seen.is_own(seen.url(answer, form.action))


def _has_token(form: Form) -> bool:
    return any(_TOKEN.search(one.get("name", "")) and len(one.get("value", "")) >= _LEAST_TOKEN for one in form.hidden)


def _meta_token(seen: Seen, answer: Answer) -> bool:
    metas = next((page.metas for one, page in seen.pages if one is answer), {})
    return any(_TOKEN.search(name) and len(value) >= _LEAST_TOKEN for name, value in metas.items())


@FORMS.add(
    "form-elsewhere",
    Level.MEDIUM,
    asvs="10.1.1",
    why="A password that is typed here is sent to another site.",
    fix="Let the form's action be a path of the same origin, and send visitors elsewhere by a link.",
)
def _elsewhere(seen: Seen) -> Said:
    found = _passwords(seen) if seen.origin else []
    own = urlsplit(seen.origin).netloc
    bad = []
    for answer, form in found:
        url = seen.url(answer, form.action)
        if origin_of(url) and urlsplit(url).netloc.rpartition("@")[2].lower() != own:
            bad.append(f"{answer.what} sends a password to {bare(origin_of(url))}")
    return bad if found else None


@FORMS.add(
    "password-manager",
    Level.LOW,
    asvs="6.2.7",
    why="Who cannot use a password manager chooses what can be remembered, and guessed.",
    fix="Give the field autocomplete=current-password (new-password where one is chosen), and never off.",
)
def _manager(seen: Seen) -> Said:
    found = [
        (answer, field)
        for answer, form in _passwords(seen)
        for field in form.fields
        if field.get("type", "").lower() == "password"
    ]
    bad = [answer for answer, field in found if field.get("autocomplete", "").lower() == "off" or "onpaste" in field]
    return [f"{answer.what} keeps password managers out" for answer in bad] if found else None


@FORMS.add(
    "sign-out-link",
    Level.MEDIUM,
    asvs="3.5.3",
    why="What a GET does, a picture on any other site does: visitors are signed out, or worse.",
    fix="Let sign-out, and all that changes something, be a form with method=post.",
)
def _sign_out(seen: Seen) -> Said:
    found = seen.pages
    bad = []
    for answer, page in found:
        urls = [seen.url(answer, link) for link in page.links]
        urls += [seen.url(answer, form.action) for form in page.forms if form.method == "get" and form.action]
        bad += [f"{answer.what} signs out by GET" for url in urls if _SIGN_OUT.search(urlsplit(url).path)]
    return bad if found else None


@FORMS.add(
    "mixed-content",
    Level.HIGH,
    asvs="12.2.1",
    why="A script that comes over http is whatever somebody on the way makes of it.",
    fix="Load everything by https, best from the same origin.",
)
def _mixed(seen: Seen) -> Said:
    found = seen.pages if seen.is_https else []
    bad = [answer for answer, page in found for url in page.loads if url.strip().lower().startswith("http:")]
    return [f"{answer.what} loads something over http" for answer in bad] if found else None


@FORMS.add(
    "script-integrity",
    Level.LOW,
    asvs="3.6.1",
    why="Whoever changes a file at another site runs it here, as whoever is signed in.",
    fix="Serve scripts and styles yourself, or give them integrity=sha384-… and a fixed version.",
)
def _integrity(seen: Seen) -> Said:
    found = seen.pages if seen.origin else []
    bad = []
    for answer, page in found:
        for one in page.scripts:
            url = seen.url(answer, one.get("src", ""))
            if url.startswith("https:") and not seen.is_own(url) and not one.get("integrity"):
                bad.append(f"{answer.what} loads {bare(url)} without integrity")
    return bad if found else None
