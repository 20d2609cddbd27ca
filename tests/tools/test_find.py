"""A token is found in whatever it was copied with."""

import pytest
from tests.tools.vectors import BY_NAME

TOKEN = BY_NAME["ES256"]["token"]
OTHER = BY_NAME["RS256"]["token"]
NONE = BY_NAME["none"]["token"]
JWE = BY_NAME["encrypted"]["token"]
WRAPPED = "\n".join(TOKEN[at : at + 64] for at in range(0, len(TOKEN), 64))


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "  {}\r\n",
        "Bearer {}",
        "bearer   {}",
        "Authorization: Bearer {}",
        "authorization: DPoP {}",
        "-H 'Authorization: Bearer {}'",
        '"{}"',
        "'{}',",
        "`{}`",
        "<{}>",
        "“{}”",
        "token={}",
        'access_token: "{}"',
        "TOKEN='{}'",
        "Cookie: theme=dark; session={}; lang=en",
        "Set-Cookie: session={}; Path=/; HttpOnly; Secure",
        '{{"access_token":"{}","token_type":"Bearer","expires_in":900}}',
        "curl -sS https://api.example.com/orders \\\n  -H 'Authorization: Bearer {}' \\\n  -d '{{}}'",
        "https://app.example.com/callback#access_token={}&token_type=Bearer",
        "2026-01-01 12:00:00 WARN refused: {} (expired)",
    ],
)
@pytest.mark.parametrize("token", [TOKEN, NONE, JWE], ids=["signed", "none", "encrypted"])
def test_it_is_found(call, around, token):
    """Alone, whole, and without what stood around it."""
    assert call("jwt/find.mjs", "find", around.format(token))["tokens"] == [token]


@pytest.mark.parametrize(
    "text",
    [
        WRAPPED,
        f"Bearer {WRAPPED}",
        f'"{WRAPPED}"',
        WRAPPED.replace("\n", "\r\n   "),
        WRAPPED.replace("\n", " \\\n"),
    ],
)
def test_it_is_put_together(call, text):
    """Terminals and mails break lines."""
    found = call("jwt/find.mjs", "find", text)
    assert found["tokens"] == [TOKEN]
    assert "blanks and line breaks" in found["taken"]


@pytest.mark.parametrize("between", ["\n", " ", "; refresh=", '","id_token":"'])
def test_several(call, between):
    """Each is found, once."""
    text = f"access={TOKEN}{between}{OTHER}{between}{TOKEN}"
    assert call("jwt/find.mjs", "find", text)["tokens"] == [TOKEN, OTHER]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_nothing(call, text):
    """Nothing was pasted."""
    assert call("jwt/find.mjs", "find", text)["tokens"] == []


@pytest.mark.parametrize(
    "text", [TOKEN[:50] + "!" + TOKEN[51:], TOKEN[:50], "not-a-token", "ey.ey", "{", "Bearer", "a b"]
)
def test_what_is_broken_stays_whole(call, text):
    """So that the place can be shown."""
    assert call("jwt/find.mjs", "find", text)["tokens"] == [text]


def test_a_sentence_ends(call):
    """Its full stop is none of the token's, and that of an unsigned token is."""
    assert call("jwt/find.mjs", "find", f"It says {TOKEN}.")["tokens"] == [TOKEN]
    assert call("jwt/find.mjs", "find", f"It says {NONE} and more")["tokens"] == [NONE]
