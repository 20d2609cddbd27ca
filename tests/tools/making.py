"""What the makers of tokens.json make them with: keys in every form, signatures, and a list that grows."""

import base64
import datetime as dt
import hashlib
import hmac
import json

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

SECRET = "a shared secret of thirty-two bytes and more, for tests alone: 64 of them."


def b64(raw):
    """Base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def dump(value):
    """JSON as tokens have it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


class Keys:
    """One key of each kind, in every form in which somebody may paste it."""

    def __init__(self):
        self.private = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "p256": ec.generate_private_key(ec.SECP256R1()),
            "p384": ec.generate_private_key(ec.SECP384R1()),
            "p521": ec.generate_private_key(ec.SECP521R1()),
            "ed25519": ed25519.Ed25519PrivateKey.generate(),
            "other": ec.generate_private_key(ec.SECP256R1()),
        }
        self.public = {name: self._forms(name, key) for name, key in self.private.items()}
        raw = SECRET.encode()
        self.public["hs"] = {
            "text": SECRET,
            "hex": raw.hex(),
            "base64": base64.b64encode(raw).decode(),
            "base64url": b64(raw),
            "jwk": {"kty": "oct", "k": b64(raw)},
        }
        rfc = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"
        self.public["rfc7515"] = {"base64url": rfc, "jwk": {"kty": "oct", "k": rfc}}

    def _forms(self, name, key):
        public = key.public_key()
        spki = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        forms = {"pem": spki.decode(), "jwk": self._jwk(public), "certificate": self._certificate(key)}
        if name == "rsa":
            forms["pkcs1"] = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1).decode()
        forms["jwks"] = {"keys": [{**forms["jwk"], "kid": name}]}
        return forms

    @staticmethod
    def _jwk(public):
        kinds = {
            rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
            ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
            ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm,
        }
        found = next(maker for kind, maker in kinds.items() if isinstance(public, kind)).to_jwk(public, as_dict=True)
        return {name: value for name, value in found.items() if name != "key_ops"}

    @staticmethod
    def _certificate(key):
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(4711)
            .not_valid_before(day)
            .not_valid_after(day + dt.timedelta(days=36500))
            .sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()

    def sign(self, alg, name, data):
        """The signature, as JOSE wants it."""
        if alg.startswith("HS"):
            return hmac.digest(SECRET.encode(), data, getattr(hashlib, f"sha{alg[2:]}"))
        key = self.private[name]
        if alg.startswith("Ed"):
            return key.sign(data)
        sha = getattr(hashes, f"SHA{alg[2:]}")()
        if alg.startswith("RS"):
            return key.sign(data, padding.PKCS1v15(), sha)
        if alg.startswith("PS"):
            return key.sign(data, padding.PSS(padding.MGF1(sha), sha.digest_size), sha)
        size = (key.curve.key_size + 7) // 8
        return b"".join(part.to_bytes(size, "big") for part in decode_dss_signature(key.sign(data, ec.ECDSA(sha))))


class Vectors:
    """The list, as it grows."""

    def __init__(self):
        self.keys = Keys()
        self.tokens = []

    def signed(self, name, header, claims, *, key=None, change=None, **expected):
        """Add a signed token; *change* gets its three parts and returns the text."""
        head = header if isinstance(header, bytes) else dump(header)
        body = claims if isinstance(claims, bytes) else dump(claims)
        text = f"{b64(head)}.{b64(body)}"
        alg = header["alg"] if isinstance(header, dict) else expected.pop("alg")
        parts = [*text.split("."), b64(self.keys.sign(alg, key, text.encode()))]
        token = change(*parts) if change else ".".join(parts)
        readable = {"header": header, "payload": claims} | {
            name: expected.pop(name) for name in ("header", "payload") if name in expected
        }
        self.add(name, token, key=key, **readable, **({"verdict": "fits"} | expected))

    def add(self, name, token, **expected):
        """Add any text."""
        base = {"kind": "jws", "header": None, "payload": None, "trouble": None, "findings": [], "key": None}
        self.tokens.append({"name": name, "token": token} | base | {"verdict": None, "others": {}} | expected)
