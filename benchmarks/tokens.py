"""
What access tokens cost: verifying, cold and remembered; minting; and bytes on the wire.

    python benchmarks/tokens.py            # about a minute
    python benchmarks/tokens.py --quick    # a few seconds, rough

Every figure stands beside what it is compared with, measured in the same run. A raw signature is cryptography's own
call and nothing else: the key object, the hash, the bytes and the DER form of the signature are there beforehand.
"""

import argparse
import asyncio
import itertools
import os
import platform
import secrets
import tempfile
from hashlib import sha256

from _measure import ratio, rounds, show, verdict
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from coatcheck import Claims, Coatcheck, Policy, Verifier
from coatcheck.tokens import access_token, base64url

ISSUER = "https://auth.example.com"


def raw_verify(token, key):
    """A function that checks the signature of *token* with cryptography alone, everything else done beforehand."""
    signed, _, text = token.rpartition(".")
    message, signature = signed.encode(), base64url.decode(text)
    public = key.public.get_op_key("verify")
    if isinstance(public, ed25519.Ed25519PublicKey):
        return lambda: public.verify(signature, message)
    der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
    algorithm = ec.ECDSA(SHA256())
    return lambda: public.verify(der, message, algorithm)


def raw_sign(token, key):
    """A function that signs what *token* says with cryptography alone."""
    message, private = token.rpartition(".")[0].encode(), key.private.get_op_key("sign")
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return lambda: private.sign(message)
    algorithm = ec.ECDSA(SHA256())
    return lambda: private.sign(message, algorithm)


async def speed(folder, signing, count):
    """Cold, remembered and minted, beside what none of them can do without."""
    policy = Policy(signing=signing)
    async with (
        Coatcheck(f"sqlite:///{folder}/{signing}.db", issuer=ISSUER, policy=policy) as auth,
        Verifier(ISSUER, audience="orders", feed=f"sqlite:///{folder}/{signing}.db") as verifier,
    ):
        session = (await auth.sign_in("maria", claims={"roles": ["member"]})).session
        token = auth.access_token(session, audience="orders")
        signatures(auth, session, token, signing, count)
        remembered(auth, verifier, token, signing, count)


def signatures(auth, session, token, signing, count):
    """Verifying cold and minting, and each of the layers in between."""
    key = auth._tokens.keyring.keys.signer(auth.clock.now())
    keys, known = {key.kid: key}, auth._tokens.verifying.known._claims
    signed, _, text = token.rpartition(".")
    message, signature = signed.encode(), base64url.decode(text)
    claims = auth.verify(token, audience="orders").all

    def cold():
        known.clear()
        auth.verify(token, audience="orders")

    raw_v, raw_s = f"cryptography, {signing} verify", f"cryptography, {signing} sign"
    times = rounds(
        {
            raw_v: raw_verify(token, key),
            "JOSE verify": lambda: key.is_signed(message, signature),
            "access_token.verify": lambda: access_token.verify(token, keys.get, issuer=ISSUER),
            "verify, cold": cold,
            raw_s: raw_sign(token, key),
            "JOSE sign": lambda: key.sign(message),
            "access_token.sign": lambda: access_token.sign(key, claims),
            "mint": lambda: auth.access_token(session, audience="orders"),
        },
        # Shorter than a scheduler's turn, so that most rounds are nobody else's.
        count=20 * count,
        repeat=10,
    )
    show(f"Signatures, {signing} (SQLite)", times)
    for title, names in (
        ("a cold verify over the raw one, us", (raw_v, "JOSE verify", "access_token.verify", "verify, cold")),
        ("minting over the raw signature, us", (raw_s, "JOSE sign", "access_token.sign", "mint")),
    ):
        best = {name: min(times[name]) for name in names}
        steps = (f"{name} {best[name] - best[before]:+.2f}" for before, name in itertools.pairwise(names))
        print(f"        {title}: {', '.join(steps)}")
    verdict("cold verify / raw verify", ratio(times, "verify, cold", raw_v), 1.5)
    verdict("minting / raw signature", ratio(times, "mint", raw_s), 2.0)


def remembered(auth, verifier, token, signing, count):
    """Verifying what was verified before."""
    known = {sha256(token.encode("ascii")).digest(): token}
    assert isinstance(verifier.verify(token), Claims) and isinstance(auth.verify(token, audience="orders"), Claims)
    times = rounds(
        {
            "a dict lookup": lambda: known.get(token),
            "hashlib.sha256 and a dict lookup": lambda: known[sha256(token.encode("ascii")).digest()],
            "verify, remembered": lambda: auth.verify(token, audience="orders"),
            "Verifier.verify on the store, remembered": lambda: verifier.verify(token),
        },
        count=count,
    )
    show(f"A remembered token, {signing}", times)
    lookup, _, engine, alone = (min(found) for found in times.values())
    verdict("a remembered token over a dict lookup, us", engine - lookup, 4.0)
    verdict("the same at a Verifier, us", alone - lookup, 4.0)


async def sizes():
    """Bytes of each carrier, as it stands in a request."""
    print("\nBytes on the wire")
    for signing in ("ES256", "Ed25519"):
        async with Coatcheck("memory://", issuer=ISSUER, policy=Policy(signing=signing)) as auth:
            bare, roles = (
                await auth.sign_in("maria"),
                await auth.sign_in("maria", claims={"roles": ["admin", "member"]}),
            )
            sub = secrets.token_urlsafe(16)
            random = await auth.sign_in(sub, claims={"roles": ["member"]})
            pair = await auth.issue_refresh(bare.session, client_id="cli", audience="orders")
            if signing == "ES256":
                name, value = auth.policy.cookie.name, bare.token.reveal()
                print(f"  {'session cookie, value':<44}{len(value):>6}")
                print(f"  {'session cookie, name=value':<44}{len(name) + 1 + len(value):>6}")
                print(f"  {'refresh token':<44}{len(pair.refresh_token.reveal()):>6}")
            for title, started in (
                ("minimal", bare),
                ("with two roles", roles),
                (f"sub of {len(sub)} characters, one role", random),
            ):
                token = auth.access_token(started.session, audience="orders")
                print(f"  {f'access token, {signing}, {title}':<44}{len(token):>6}")


def main():
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        for signing in ("ES256", "Ed25519"):
            asyncio.run(speed(folder, signing, 20 if options.quick else 100))
    asyncio.run(sizes())


if __name__ == "__main__":
    main()
