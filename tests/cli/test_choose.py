"""`coatcheck choose`: questions at a terminal, options for scripts."""

import pytest

WHOLE = ("--backends", "one", "--clients", "browsers", "--sign-out", "instant")


def test_options_answer(cli):
    """And nothing is asked."""
    ran = cli("choose", *WHOLE)
    assert ran.code == 0 and ran.err == ""
    assert ran.out.startswith("Take session cookies.\n")
    for words in ("Because", "What you give up", "66.0 MB a day", "SessionMiddleware"):
        assert words in ran.out


def test_json(cli):
    """For programs, with the bytes of their own number of requests; what was not asked does not count."""
    found = cli("choose", *WHOLE, "--verify", "alone", "--requests", "10", "--framework", "flask", "--json").json
    assert found["verdict"] == "cookie"
    assert found["answers"] == {"backends": "one", "clients": "browsers", "sign_out": "instant"}
    assert found["bytes_a_day"]["jwt"] == 10 * found["bytes_per_request"]["jwt"]
    assert "from coatcheck.flask import Sessions" in found["code"]


def test_a_person_is_asked(cli):
    """By number or by word, again after a slip, and only what an option has not answered."""
    ran = cli("choose", "--backends", "many", stdin="9\n2\nprograms\n2\n1\n", is_tty=True)
    assert ran.code == 0
    assert ran.out.startswith("Take JWTs.\n")
    assert "One backend" not in ran.err
    assert ran.err.count("1 to 2: ") == 4
    assert "listen to a feed" not in ran.err


def test_somebody_who_does_not_answer(cli):
    """Is not asked for ever."""
    for typed in ("", "x\ny\nz\n1\n"):
        ran = cli("choose", stdin=typed, is_tty=True)
        assert (ran.code, ran.out) == (2, "")
        assert "--backends: no answer was given" in ran.err


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ((), "not_answered", "--backends: is missing"),
        (("--backends", "many"), "not_answered", "--verify: is missing"),
        (("--backends", "two"), "usage", "--backends: is one of one, cluster, many, federation"),
        ((*WHOLE, "--framework", "rails"), "usage", "--framework: is one of"),
        ((*WHOLE, "--requests", "-1"), "usage", "--requests: is a number from 0"),
    ],
)
def test_what_is_missing_or_wrong(cli, args, code, said):
    """One line names the option."""
    ran = cli("choose", *args, "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.error["code"] == code
    assert said in ran.error["detail"]
