"""Values that never print, and the keys that are derived from the one secret."""

import base64
import copy
import dataclasses
import hmac
import pickle
import stat
import sys
import traceback

import msgspec
import pytest

from coatcheck import Coatcheck, ConfigError, Secret, SignedIn, StoreUnusable
from coatcheck.secret import RootSecret, revealed

TEXT = "correct-horse-battery-staple"
ZEROS = base64.urlsafe_b64encode(bytes(32)).decode()


@dataclasses.dataclass
class Holder:
    token: Secret


def shown_in_traceback(secret):
    """What a traceback with every frame's variables shows."""
    try:
        raise ValueError("oops", secret)
    except ValueError:
        kind, error, frames = sys.exc_info()
        return "".join(traceback.TracebackException(kind, error, frames, capture_locals=True).format())


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        ascii,
        lambda secret: f"{secret}",
        lambda secret: f"{secret!r:>40}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        "{}".format,
        lambda secret: repr([secret, {secret: secret}, (secret,)]),
        lambda secret: repr(Holder(secret)),
        lambda secret: repr(SignedIn(None, secret)),
        lambda secret: repr(vars(ValueError(secret))) + repr(ValueError(secret)),
        shown_in_traceback,
        lambda secret: repr(dir(secret)),
    ],
)
def test_no_way_of_showing_shows(show):
    """However it is printed, the text is not in it."""
    assert TEXT not in show(Secret(TEXT))


@pytest.mark.parametrize(
    "write",
    [pickle.dumps, copy.copy, copy.deepcopy, lambda secret: dataclasses.asdict(Holder(secret)), msgspec.json.encode],
)
def test_no_way_of_writing_writes(write):
    """Pickling, copying and encoding refuse; the refusal does not hold the text."""
    with pytest.raises(TypeError) as refused:
        write(Secret(TEXT))
    assert TEXT not in str(refused.value)


def test_reveal_gives_the_text():
    """The one way to the text is to ask for it by name."""
    assert Secret(TEXT).reveal() == TEXT
    assert revealed(Secret(TEXT)) == revealed(TEXT) == TEXT


def test_secrets_compare_by_their_text_and_with_secrets_only():
    """Equal texts are equal and hash alike; a plain text is not equal, so no comparison is made in the open."""
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("\ud800") == Secret("\ud800")


@pytest.mark.parametrize(
    ("given", "values"),
    [
        (ZEROS, [bytes(32)]),
        (ZEROS.rstrip("="), [bytes(32)]),
        (f"  {ZEROS}\n", [bytes(32)]),
        (f"{ZEROS}\n{'_' * 43}", [bytes(32), b"\xff" * 32]),
        ([ZEROS, "_" * 43], [bytes(32), b"\xff" * 32]),
        ("A" * 44, [bytes(33)]),
        ("-_" * 32, [base64.urlsafe_b64decode("-_" * 32)]),
    ],
)
def test_parse_takes(given, values):
    """Base64url of 32 bytes or more, with or without padding, one value a word or a list of them; the order stays."""
    assert RootSecret.parse(given, setting="secret").keys("x") == RootSecret(values).keys("x")


@pytest.mark.parametrize(
    "given",
    ["", " \n", [], "short", "A" * 42, "A" * 41, "A" * 45, "A" * 42 + "+", "A" * 42 + "/", "é" * 43, "A" * 43 + "===",
     f"{ZEROS} hunter2hunter2", [ZEROS, ""], "=" * 44, "A" * 20 + "=" + "A" * 23, [b"A" * 43]],
)  # fmt: skip
def test_parse_refuses_and_repeats_nothing(given):
    """Too short, no base64url, or nothing at all: the setting is named and the value is not."""
    with pytest.raises(ConfigError) as refused:
        RootSecret.parse(given, setting="COATCHECK_SECRET")
    assert refused.value.setting == "COATCHECK_SECRET"
    assert "COATCHECK_SECRET" in str(refused.value)
    for word in str(given).split():
        assert len(word) < 5 or word not in str(refused.value)


def hkdf(value, info):
    """RFC 5869 with SHA-256, no salt, one block: written out."""
    extracted = hmac.digest(bytes(32), value, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def test_the_written_out_hkdf_is_right():
    """The yardstick itself agrees with RFC 5869, appendix A.3 (no salt, no info), first block."""
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert hkdf(b"\x0b" * 22, b"").hex() == expected


def test_keys_are_frozen():
    """The derivation never changes: every form token and, later, every refresh token depends on it."""
    key = RootSecret([bytes(range(32))]).keys("csrf 1")
    assert key == (hkdf(bytes(range(32)), b"coatcheck csrf 1"),)
    assert key[0].hex() == "5b5384f7240edd97ffdbf7e9e006623c1992b3f653e08634660233b7cdabb759"


def test_each_use_has_its_own_key():
    """No two labels share a key, and each value of the secret gives one: the first writes."""
    root = RootSecret([bytes(32), b"\x01" * 32])
    assert len({*root.keys("csrf 1"), *root.keys("csrf 2"), *root.keys("refresh 1")}) == 6
    assert root.keys("csrf 1")[0] == RootSecret([bytes(32)]).keys("csrf 1")[0]


def test_a_root_secret_does_not_print():
    """Neither its values nor their text are in its repr."""
    assert repr(RootSecret([b"k" * 32])) == "RootSecret(1 values)"


def test_a_root_secret_does_not_pickle():
    """Like a Secret, the root of all keys refuses to be written somewhere."""
    with pytest.raises(TypeError):
        pickle.dumps(RootSecret([b"k" * 32]))


def test_random_ones_differ():
    """Two processes without a secret of their own share none."""
    assert RootSecret.random().keys("x") != RootSecret.random().keys("x")


def test_from_the_environment(monkeypatch, tmp_path):
    """COATCHECK_SECRET counts before COATCHECK_SECRET_FILE; set but empty is a mistake and is refused."""
    for name in ("COATCHECK_SECRET", "COATCHECK_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert RootSecret.from_environment() is None
    (tmp_path / "secret").write_text("_" * 43 + "\n")
    monkeypatch.setenv("COATCHECK_SECRET_FILE", str(tmp_path / "secret"))
    assert RootSecret.from_environment().keys("x") == RootSecret([b"\xff" * 32]).keys("x")
    monkeypatch.setenv("COATCHECK_SECRET", ZEROS)
    assert RootSecret.from_environment().keys("x") == RootSecret([bytes(32)]).keys("x")
    monkeypatch.setenv("COATCHECK_SECRET", "")
    with pytest.raises(ConfigError, match="COATCHECK_SECRET"):
        RootSecret.from_environment()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"too short"])
def test_a_bad_secret_file_is_refused(monkeypatch, tmp_path, content):
    """Missing, empty, not text or too short: refused, naming the variable."""
    monkeypatch.delenv("COATCHECK_SECRET", raising=False)
    monkeypatch.setenv("COATCHECK_SECRET_FILE", str(tmp_path / "secret"))
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match="COATCHECK_SECRET_FILE"):
        RootSecret.from_environment()


def test_beside_makes_one_that_only_its_owner_reads(tmp_path):
    """Made once, 0600, read again by the next process; open to others, it is refused and the remedy is named."""
    path = tmp_path / "db-secret"
    first = RootSecret.beside(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert RootSecret.beside(path).keys("x") == first.keys("x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["db-secret"]
    path.chmod(0o640)
    with pytest.raises(StoreUnusable, match="chmod 600"):
        RootSecret.beside(path)


def test_beside_where_nothing_can_be_written(tmp_path):
    """A folder that is not there: a clear error of ours."""
    with pytest.raises(StoreUnusable, match="cannot be written"):
        RootSecret.beside(tmp_path / "absent" / "db-secret")


async def test_the_engine_takes_its_secret_in_order(monkeypatch, tmp_path):
    """What is given counts before the environment, and that before the file beside the database."""
    monkeypatch.delenv("COATCHECK_SECRET_FILE", raising=False)
    monkeypatch.setenv("COATCHECK_SECRET", "_" * 43)
    url = f"sqlite:///{tmp_path}/coatcheck.db"
    async with Coatcheck(url, secret=ZEROS) as auth:
        assert auth.derived_keys("x") == RootSecret([bytes(32)]).keys("x")
    async with Coatcheck(url) as auth:
        assert auth.derived_keys("x") == RootSecret([b"\xff" * 32]).keys("x")
    assert not (tmp_path / "coatcheck.db-secret").exists()
    monkeypatch.delenv("COATCHECK_SECRET")
    async with Coatcheck(url) as auth:
        kept = auth.derived_keys("x")
    async with Coatcheck(url) as auth:
        assert auth.derived_keys("x") == kept


def test_an_account_keeps_one_secret_for_each_store(monkeypatch, tmp_path):
    """The same for every process of the account, another for another store, in a 0600 file of a 0700 folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    first = RootSecret.of_account("db.example/coatcheck").keys("x")
    assert RootSecret.of_account("db.example/coatcheck").keys("x") == first
    assert RootSecret.of_account("db.example/other").keys("x") != first
    folder = tmp_path / "state" / "coatcheck"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not any("example" in path.name for path in folder.iterdir())


def test_an_account_without_a_place_for_a_secret_is_told_what_to_do(monkeypatch, tmp_path):
    """The message names the setting that helps."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(StoreUnusable, match="COATCHECK_SECRET"):
        RootSecret.of_account("db.example/coatcheck")
