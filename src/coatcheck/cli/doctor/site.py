"""All checks of a site, in the order in which they are told. Floor 6; may import: floor 0."""

from __future__ import annotations

from coatcheck.cli.doctor.checks import Check
from coatcheck.cli.doctor.seen import Seen
from coatcheck.cli.doctor.site_cookies import COOKIES
from coatcheck.cli.doctor.site_forms import FORMS
from coatcheck.cli.doctor.site_headers import HEADERS
from coatcheck.cli.doctor.site_pages import PAGES
from coatcheck.cli.doctor.site_tokens import TOKENS

SITE: list[Check[Seen]] = [*HEADERS.all, *PAGES.all, *COOKIES.all, *FORMS.all, *TOKENS.all]
