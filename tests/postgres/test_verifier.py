"""A verifier whose feed is the PostgreSQL store itself."""

import pytest

from coatcheck import Claims, Coatcheck, ConfigError, Reason, Refused, Verifier

ISSUER = "https://auth.example.com"


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


def test_a_store_of_ones_own_is_no_feed():
    """Memory of another process cannot be read."""
    with pytest.raises(ConfigError, match="neither a store"):
        Verifier(ISSUER, audience="orders", feed="memory://")
