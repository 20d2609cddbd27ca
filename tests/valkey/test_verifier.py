"""A verifier whose feed is the Valkey store itself, and the secret of an engine to which none is given."""

import os

import pytest
from tests.servers import valkey

from coatcheck import Claims, Coatcheck, Reason, Refused, Verifier

ISSUER = "https://auth.example.com"


@pytest.fixture(params=["single", "cluster"])
def url(request):
    """The URL of a store that is this test's alone."""
    return valkey.shared(request.param).url()


async def test_a_verifier_on_the_store_refuses_what_was_revoked(url):
    """Once revoke has returned, a verifier that only has the store's URL refuses the session's access token."""
    async with (
        Coatcheck(url, issuer=ISSUER, secret="s" * 43) as auth,
        Verifier(ISSUER, audience="orders", feed=url) as verifier,
    ):
        signed_in = await auth.sign_in("maria")
        await auth.check(signed_in.token)
        jwt = auth.access_token(signed_in.session, audience="orders")
        assert isinstance(verifier.verify(jwt), Claims)
        receipt = await auth.revoke(signed_in.session.sid)
        assert receipt.nodes == 2
        assert verifier.verify(jwt) == Refused(Reason.REVOKED)


async def test_a_secret_of_the_account_is_made_and_found_again(url, monkeypatch, tmp_path):
    """None is given: there is one for this account and this store, whatever user and password the URL names."""
    for name in [name for name in os.environ if name.startswith("COATCHECK_SECRET")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    for _ in range(2):
        async with Coatcheck(url, issuer=ISSUER) as auth:
            assert auth.jwks()["keys"]
    (kept,) = (tmp_path / "coatcheck").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
