"""Checks of the content security policy of pages, and of caches that keep them. Floor 6; may import: floor 0."""

from __future__ import annotations

from coatcheck.cli.doctor.answer import Answer
from coatcheck.cli.doctor.checks import Checks, Level, Said
from coatcheck.cli.doctor.seen import Seen

PAGES = Checks[Seen]()

_LOOSE = ("'unsafe-inline'", "*", "data:", "http:", "https:")
_STRICT = ("'nonce-", "'sha256-", "'sha384-", "'sha512-", "'strict-dynamic'")


def policies(answer: Answer) -> list[dict[str, list[str]]]:
    """Return the content security policies of *answer*. Each of them must allow what is to be allowed."""
    found = []
    for text in (part for field in answer.all("content-security-policy") for part in field.split(",")):
        parts = [words for directive in text.split(";") if (words := directive.split())]
        # Of a directive that is there twice the first counts.
        found.append({words[0].lower(): [word.lower() for word in words[1:]] for words in reversed(parts)})
    return [one for one in found if one]


def _of_pages(seen: Seen) -> list[tuple[Answer, list[dict[str, list[str]]]]]:
    return [(answer, policies(answer)) for answer in seen.documents if answer.is_html]


@PAGES.add(
    "csp",
    Level.MEDIUM,
    asvs="3.4.3",
    why="One place where text is not escaped is enough, and a stranger's script acts as whoever is signed in.",
    fix="Send Content-Security-Policy: default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
)
def _csp(seen: Seen) -> Said:
    found = _of_pages(seen)
    scripts = ("script-src", "script-src-elem", "default-src")
    bad = [one for one, all_ in found if not any(name in policy for policy in all_ for name in scripts)]
    return [f"{one.what} has no Content-Security-Policy for scripts" for one in bad] if found else None


@PAGES.add(
    "csp-inline",
    Level.MEDIUM,
    asvs="3.4.3",
    why="A policy that allows scripts from anywhere, or in the page itself, allows the stranger's.",
    fix="Take 'unsafe-inline', * and whole schemes out of script-src; put scripts into files, or give them a nonce.",
)
def _csp_inline(seen: Seen) -> Said:
    found = [(one, sources) for one, all_ in _of_pages(seen) if (sources := _scripts(all_))]
    bad = [one for one, sources in found if all(_is_loose(each) for each in sources)]
    return [f"{one.what} has a policy that lets any script run" for one in bad] if found else None


def _scripts(found: list[dict[str, list[str]]]) -> list[list[str]]:
    chosen = [policy.get("script-src", policy.get("default-src")) for policy in found]
    return [sources for sources in chosen if sources is not None]


def _is_loose(sources: list[str]) -> bool:
    return any(one in _LOOSE for one in sources) and not any(one.startswith(_STRICT) for one in sources)


@PAGES.add(
    "csp-base",
    Level.LOW,
    asvs="3.4.3",
    why="A base element that somebody slips in takes the scripts and forms of the page elsewhere; plugins run beside.",
    fix="Add object-src 'none' and base-uri 'none' (or 'self') to the Content-Security-Policy.",
)
def _csp_base(seen: Seen) -> Said:
    found = [(one, all_) for one, all_ in _of_pages(seen) if all_]
    bad = []
    for one, all_ in found:
        has_base = any(set(policy.get("base-uri", ["*"])) <= {"'none'", "'self'"} for policy in all_)
        has_object = any(policy.get("object-src", policy.get("default-src")) == ["'none'"] for policy in all_)
        if not has_base or not has_object:
            bad.append(f"{one.what} has a policy without {'object-src' if has_base else 'base-uri'}")
    return bad if found else None


@PAGES.add(
    "frame-ancestors",
    Level.MEDIUM,
    asvs="3.4.6",
    why="In a frame of another site, visitors press buttons that they do not see.",
    fix="Send Content-Security-Policy with frame-ancestors 'none'; X-Frame-Options alone is obsolete.",
)
def _frames(seen: Seen) -> Said:
    found = _of_pages(seen)
    bad = [one for one, all_ in found if not any("*" not in policy.get("frame-ancestors", ["*"]) for policy in all_)]
    return [f"{one.what} may be framed by anybody" for one in bad] if found else None


@PAGES.add(
    "cache-sign-in",
    Level.LOW,
    asvs="14.3.2",
    why="Pages that a browser keeps are shown by its Back button after the sign-out, to whoever sits there then.",
    fix="Send Cache-Control: no-store with the sign-in and with all that it protects.",
)
def _cache_sign_in(seen: Seen) -> Said:
    found = [answer for answer, page in seen.pages if any(form.has_password for form in page.forms)]
    bad = [one for one in found if "no-store" not in one.directives]
    return [f"{one.what} asks for a password and is not marked no-store" for one in bad] if found else None


@PAGES.add(
    "cache-shared",
    Level.MEDIUM,
    asvs="14.2.2",
    why="What a shared cache keeps for one visitor it gives to the next.",
    fix="Send Vary: Cookie and Cache-Control: private with every page that depends on who asks.",
)
def _shared(seen: Seen) -> Said:
    found = [answer for answer in seen.documents if answer.is_html]
    bad = []
    for one in found:
        says = one.directives
        is_kept = ("public" in says or "s-maxage" in says) and not {"private", "no-store"} & set(says)
        varies = {name.strip().lower() for name in (one.one("vary") or "").split(",")} & {"cookie", "*"}
        if is_kept and not varies:
            bad.append(f"{one.what} may be kept by shared caches, and does not vary by cookie")
    return bad if found else None
