"""What the attack tests share."""

import pytest
from tests.attacks.visitors import door_of


@pytest.fixture
def door(auth):
    """The tiny application behind the middleware; ``door.app`` is the application."""
    return door_of(auth)
