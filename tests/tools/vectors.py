"""The tokens of tokens.json, for whoever tries something on them. make_vectors.py says what they are."""

import json
from pathlib import Path

import pytest

FOUND = json.loads((Path(__file__).parent / "tokens.json").read_text())
NOW, KEYS, TOKENS = FOUND["now"], FOUND["keys"], FOUND["tokens"]
BY_NAME = {one["name"]: one for one in TOKENS}


def each(wanted=lambda one: True):
    """Each vector that is wanted."""
    found = [one for one in TOKENS if wanted(one)]
    return pytest.mark.parametrize("vector", found, ids=[one["name"] for one in found])
