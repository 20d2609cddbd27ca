"""A certificate that this process trusts, and the doctor run as others run it."""

import asyncio
import os

import pytest
from tests.doctor import site as sites
from tests.servers.tls import make_certificates

from coatcheck.cli.doctor import address, saved
from coatcheck.cli.doctor.checks import Status, run
from coatcheck.cli.doctor.seen import Seen
from coatcheck.cli.doctor.site import SITE
from coatcheck.cli.doctor.visit import visit
from coatcheck.clock import SystemClock


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A folder with a certificate for localhost, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder)
    return folder


@pytest.fixture
def trusted(certificate, monkeypatch):
    """The same, trusted by all that begins from here on."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate / "cert.pem"))
    return certificate


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("COATCHECK_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def examine():
    """What came of each check, by its id: of a site, of a saved response, or of both."""

    def look(url=None, response=None, *, connect=None, session_name=None):
        answers = saved.parse(response.encode()) if response else ()
        if url is None:
            seen = Seen(saved=answers, session_name=session_name, now=SystemClock().now())
        else:
            place = None if connect is None else address.address(connect)
            seen = asyncio.run(visit(address.target(url), connect=place, saved=answers, session_name=session_name))
        return {one.id: one for one in run(SITE, seen)}

    return look


@pytest.fixture
def failed(examine, trusted):
    """The ids of the checks that a changed site, or a changed sign-in response, fails."""

    def look(change=None, response=sites.SIGNED_IN, **how):
        with sites.served(change, certificate=trusted, body=how.pop("body", None)) as site:
            found = examine(site.url, response, **how)
        return [ident for ident, one in found.items() if one.status is Status.FAILED]

    return look
