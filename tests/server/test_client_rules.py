"""Which clients can be added: none that could never be used, or would be taken for something else."""

import pytest

from coatcheck.server.clients import AUDIENCES_BYTES, MOST_AUDIENCES, why_not

CONFIDENTIAL, PUBLIC, SIGN_IN, BROWSER = (), ("is_public",), ("is_public", "may_sign_in"), ("is_browser",)


def refusal(ident="app", audiences=("api",), flags=CONFIDENTIAL):
    """The field that is wrong, and what is said of it; None for a good client."""
    names = ("is_public", "is_browser", "may_sign_in")
    problem = why_not(ident, audiences, **{name: name in flags for name in names})
    return None if problem is None else (problem.field, problem.detail)


@pytest.mark.parametrize("flags", [CONFIDENTIAL, PUBLIC, SIGN_IN, BROWSER])
def test_what_makes_sense(flags):
    """One that acts for itself, one that renews, one that people sign in through, one for pages."""
    assert refusal(flags=flags) is None


@pytest.mark.parametrize("ident", ["a", "0", "A.b-c_d", "a" * 64, "app.example.com", "browsers", "my-browser"])
def test_ids_that_are_names(ident):
    """Up to 64 characters."""
    assert refusal(ident) is None


@pytest.mark.parametrize(
    "ident",
    [
        *("", " ", "a b", "a" * 65, ".a", "-a", "_a", "a/b", "a:b", "client:a", "a,b", "a?b", "a#b", "a@b", "a%41"),
        *("ü", "a\n", "\na", "a\0", "a\x1b[2J", "\udcff", "\u202ea"),
        *("https://app.example.com/callback", "com.example:/oauth2redirect"),
    ],
)
def test_ids_that_are_not(ident):
    """An address, hostile text, too much of it: the rule is told, and nothing of what was given."""
    field, said = refusal(ident)
    assert field == "id"
    assert said.endswith("begins with a letter or a digit; choose a name, not an address.")


@pytest.mark.parametrize("ident", ["browser", "Browser", "BROWSER"])
def test_the_id_of_tokens_that_no_client_asked_for(ident):
    """Whoever had it could revoke them, and would be taken for the one who asked."""
    assert refusal(ident) == ("id", "That is the client_id of tokens that no client asked for; choose another.")


@pytest.mark.parametrize(
    ("audiences", "said"),
    [
        ((), "There are 0; name 1 to 16"),
        (
            [f"a{n}" for n in range(MOST_AUDIENCES + 1)],
            "There are 17; name 1 to 16, or spread them over several clients",
        ),
        (("",), "Each has 1 to 255 visible ASCII characters"),
        (("a", ""), "Each has 1 to 255"),
        (("a b",), "Each has 1 to 255"),
        (("x" * 256,), "Each has 1 to 255"),
        (("a\n",), "Each has 1 to 255"),
        (("a\x1b[2J",), "Each has 1 to 255"),
        (("a\0",), "Each has 1 to 255"),
        (("ü",), "Each has 1 to 255"),
        (("\udcff",), "Each has 1 to 255"),
        (("a,b",), "Each is one name, without commas; give several one by one"),
        (("*",), "there are no wildcards, so name every service"),
        (("https://*.example.com",), "there are no wildcards"),
        (("a", "b", "a"), "One of them is there twice; name each once"),
        ([str(n) * 234 for n in range(3)], "longer than 700 characters, and would not fit into a token; shorten them"),
    ],
)
def test_audiences_that_no_token_should_have(audiences, said):
    """Each with its remedy."""
    field, detail = refusal(audiences=audiences)
    assert field == "audience"
    assert said in detail


@pytest.mark.parametrize(
    "audiences",
    [
        ("x" * 255,),
        ("https://api.example.com/v1?a=b",),
        ("A", "a"),
        [f"{n:02}" for n in range(MOST_AUDIENCES)],
        [str(n) * (AUDIENCES_BYTES // 4) for n in range(4)],
    ],
)
def test_audiences_up_to_the_limits(audiences):
    """Told apart exactly, capital letters too, since that is how they are compared."""
    assert refusal(audiences=audiences) is None


@pytest.mark.parametrize(
    ("flags", "field", "said"),
    [
        (("is_browser", "is_public"), "public", "leave out one of the two"),
        (("is_browser", "is_public", "may_sign_in"), "public", "leave out one of the two"),
        (("is_browser", "may_sign_in"), "sign_in", "Pages sign in with a cookie, never for tokens"),
        (("may_sign_in",), "sign_in", "add a public client for it"),
    ],
)
def test_kinds_that_contradict_each_other(flags, field, said):
    """It would be added, and could never do what it was added for."""
    found, detail = refusal(flags=flags)
    assert found == field
    assert said in detail
