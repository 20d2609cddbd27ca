"""Our access tokens, verified by npm's jose with our JWK set."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from coatcheck import Coatcheck, Policy
from coatcheck.testing import ManualClock

NODE = Path(__file__).parent.parent / "node"
ISSUER = "https://auth.example.com"


@pytest.fixture
def jose():
    """Asks jose about a token."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "jose").exists():
        if os.environ.get("CI") == "true":
            pytest.fail("jose is not installed (make test does it where there is npm), and CI=true")
        pytest.skip("jose is not installed, there is no npm here")

    def verify(**said):
        told = subprocess.run(
            [node, "verify.mjs"],
            cwd=NODE,
            input=json.dumps(said),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return json.loads(told.stdout)

    return verify


@pytest.mark.parametrize("signing", ["ES256", "Ed25519"])
async def test_jose_takes_our_tokens_unchanged(jose, signing):
    """For the audience that they name; another is refused, and so is what was altered."""
    clock = ManualClock()
    async with Coatcheck("memory://", issuer=ISSUER, policy=Policy(signing=signing), clock=clock) as auth:
        s = await auth.sign_in("maria", claims={"roles": ["admin"]})
        said = {
            "token": auth.access_token(s.session, audience=["orders", "billing"]),
            "jwks": auth.jwks(),
            "issuer": ISSUER,
            "audience": "billing",
            "now": clock.now(),
        }
    claims = jose(**said)
    assert claims["sub"] == "maria" and claims["sid"] == s.session.sid and claims["roles"] == ["admin"]
    assert jose(**said | {"audience": "another"})["refused"] == "ERR_JWT_CLAIM_VALIDATION_FAILED"
    head, body, signature = said["token"].split(".")
    altered = f"{head}.{body}.{signature[:-4]}AAAA"
    assert jose(**said | {"token": altered})["refused"] == "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"
    assert jose(**said | {"now": clock.now() + 900})["refused"] == "ERR_JWT_EXPIRED"
