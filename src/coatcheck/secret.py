"""
Values that never print, and the one secret every key is derived from. Floor 0; may import: errors.

Rules of this module:

1. No way of printing, formatting, pickling or comparing in the open shows a value.
2. One key per use: :meth:`RootSecret.keys` takes a label, and no two uses share a label (RFC 5869, *info*).
3. A secret is never a human password: less than 32 bytes is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from coatcheck.errors import ConfigError, StoreUnusable

SECRET_BYTES = 32
_TEXT = re.compile(r"[A-Za-z0-9_-]+={0,2}", re.ASCII)
_REMEDY = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'


class Secret:
    """
    Text that does not show itself. Call :meth:`reveal` where the text is needed, and nowhere else.

    Two secrets are equal when their texts are; the comparison takes the same time for every text of one length.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode("utf-8", "replace"), other._text.encode("utf-8", "replace"))

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret does not pickle; call reveal() where its text is needed")


def revealed(token: str | Secret) -> Any:
    """Return the text of *token*, which a caller may hold either way."""
    if isinstance(token, Secret):
        return token.reveal()
    return str(token) if isinstance(token, str) else token  # plain text, should it be of a class of its own


class RootSecret:
    """
    The application's secret: one value that writes, and older ones that still read.

    It is not in the database: a stolen database alone, or a stolen secret alone, makes no token.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[bytes]) -> None:
        self._values = tuple(values)

    def __repr__(self) -> str:
        return f"RootSecret({len(self._values)} values)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RootSecret does not pickle; give the setting it comes from")

    def keys(self, label: str) -> tuple[bytes, ...]:
        """
        Derive the 32-byte keys of one use, by HKDF-SHA256 (RFC 5869). The first writes, all read.

        Args:
            label: What the key is for, with a version: ``"csrf 1"``.
        """
        # Imported here: an application that derives no key does not pay for loading OpenSSL's bindings.
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = f"coatcheck {label}".encode()
        return tuple(HKDF(SHA256(), SECRET_BYTES, salt=None, info=info).derive(value) for value in self._values)

    @classmethod
    def random(cls) -> RootSecret:
        """A secret that lives as long as this process: for ``memory://``."""
        return cls([secrets.token_bytes(SECRET_BYTES)])

    @classmethod
    def parse(cls, given: str | Iterable[str], *, setting: str) -> RootSecret:
        """
        Read one or more base64url values of at least 32 bytes.

        Args:
            given: Text with one value per word (newest first), or the values one by one.

            setting: Where they came from, for the error.

        Raises:
            ConfigError: No value, a value too short, or not base64url. The value is not repeated.
        """
        try:
            words = given.split() if isinstance(given, str) else [str(word) for word in given]
        except TypeError:
            raise ConfigError(setting, "is neither text nor a list of it", _REMEDY) from None
        if not words:
            raise ConfigError(setting, "holds no secret", _REMEDY)
        return cls([_decode(word, setting) for word in words])

    @classmethod
    def from_environment(cls) -> RootSecret | None:
        """Read ``COATCHECK_SECRET``, or the file that ``COATCHECK_SECRET_FILE`` names; None when neither is set."""
        # Set but empty is a mistake in somebody's deployment, so it is refused like any bad value.
        if (text := os.environ.get("COATCHECK_SECRET")) is not None:
            return cls.parse(text, setting="COATCHECK_SECRET")
        if (path := os.environ.get("COATCHECK_SECRET_FILE")) is not None:
            try:
                return cls.parse(Path(path).read_text("ascii"), setting="COATCHECK_SECRET_FILE")
            except (OSError, UnicodeDecodeError) as error:
                problem = f"{path} cannot be read ({type(error).__name__})"
                raise ConfigError("COATCHECK_SECRET_FILE", problem, "name a readable file of base64url text") from None
        return None

    @classmethod
    def of_account(cls, identity: str) -> RootSecret:
        """
        Read the secret that this account of this machine keeps for the store *identity*; make it when there is none.

        For a store behind a network, which has no place beside it: good for the processes of one machine. Others that
        share the store need the same secret, and have to be given it.

        Raises:
            StoreUnusable: As for :meth:`beside`.
        """
        path = account_file(identity)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            problem = f"no secret is given, and the folder {path.parent} for one cannot be made ({error.strerror})"
            raise StoreUnusable(f"{problem}; set COATCHECK_SECRET") from None
        return cls.beside(path)

    @classmethod
    def beside(cls, path: Path) -> RootSecret:
        """
        Read the secret kept in the 0600 file *path*; make it when it is not there.

        Raises:
            StoreUnusable: Somebody else may read the file, or it cannot be read.
        """
        if not path.exists():
            _write_once(path, secrets.token_urlsafe(SECRET_BYTES) + "\n")
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise StoreUnusable(f"the secret file {path} cannot be read ({type(error).__name__})") from None
        if mode & 0o077:
            raise StoreUnusable(f"the secret file {path} is open to others (mode {mode:04o}); run: chmod 600 {path}")
        return cls.parse(text, setting=str(path))


def account_file(identity: str) -> Path:
    """Return where this account keeps its secret for the store *identity*; see :meth:`RootSecret.of_account`."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
    return home / "coatcheck" / f"secret-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def _decode(word: str, setting: str) -> bytes:
    if not _TEXT.fullmatch(word):
        raise ConfigError(setting, "a value is not base64url", _REMEDY)
    bare = word.rstrip("=")
    try:
        value = base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error:
        raise ConfigError(setting, "a value is not base64url", _REMEDY) from None
    if len(value) < SECRET_BYTES:
        raise ConfigError(setting, f"a value has {len(value)} bytes, {SECRET_BYTES} are needed", _REMEDY)
    return value


def _write_once(path: Path, text: str) -> None:
    """Write *text* to a new 0600 file. Of several processes that try at once, one wins and all read the same."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, text.encode("ascii"))
            os.fsync(handle)
        finally:
            os.close(handle)
        try:
            # A link, not a rename: a rename would replace the secret that another process has just written.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name too must survive a power cut
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreUnusable(f"the secret file {path} cannot be written ({error.strerror})") from None
