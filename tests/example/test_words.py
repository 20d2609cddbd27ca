"""User agents and times in words."""

import pytest
from examples.starlette_app import words

MOZILLA = "Mozilla/5.0"
KHTML = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "said"),
    [
        (f"{MOZILLA} (Windows NT 10.0; Win64; x64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox on Windows"),
        (f"{MOZILLA} (X11; Linux x86_64) {KHTML} Chrome/131.0.0.0 Safari/537.36", "Chrome on Linux"),
        (f"{MOZILLA} (X11; Linux x86_64) {KHTML} HeadlessChrome/131.0.0.0 Safari/537.36", "Chrome on Linux"),
        (f"{MOZILLA} (X11; CrOS x86_64 14541.0.0) {KHTML} Chrome/131.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
        (f"{MOZILLA} (Windows NT 10.0) {KHTML} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0", "Edge on Windows"),
        (f"{MOZILLA} (Windows NT 10.0) {KHTML} Chrome/131.0.0.0 Safari/537.36 OPR/116.0.0.0", "Opera on Windows"),
        (
            f"{MOZILLA} (Linux; Android 15; SM-S921B) {KHTML} SamsungBrowser/27.0 Chrome/125.0 Mobile Safari/537.36",
            "Samsung Internet on Android",
        ),
        (
            f"{MOZILLA} (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15",
            "Safari on macOS",
        ),
        (
            f"{MOZILLA} (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            f"{MOZILLA} (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 CriOS/131.0 Safari/604.1",
            "Chrome on iPhone",
        ),
        (f"{MOZILLA} (iPad; CPU OS 18_1 like Mac OS X) AppleWebKit/605 FxiOS/133.0 Safari/605", "Firefox on iPad"),
        (f"{MOZILLA} (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko", "A browser on Windows"),
        ("curl/8.5.0", "curl"),
        ("python-httpx/0.28.1", "python-httpx"),
        (f"{MOZILLA} (compatible)", "Unknown device"),
        ("", "Unknown device"),
        (None, "Unknown device"),
        ("<script>alert(1)</script>", "Unknown device"),
        ("<b>/1", "Unknown device"),
        ("a" * 512 + "/1", "Unknown device"),
        ("Ünicode/1", "Unknown device"),
    ],
)
def test_device_in_words(user_agent, said):
    """What people would call it. Nothing of a hostile header is repeated."""
    assert words.device_in_words(user_agent) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "just now"),
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (12 * 60 + 59, "12 minutes ago"),
        (3599, "59 minutes ago"),
        (3600, "1 hour ago"),
        (86399, "23 hours ago"),
        (86400, "1 day ago"),
        (30 * 86400, "30 days ago"),
    ],
)
def test_ago(seconds, said):
    """The largest whole unit, and the singular where it belongs."""
    assert words.ago(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(1, "1 minute"), (900, "15 minutes"), (3600, "1 hour"), (14 * 86400, "14 days")]
)
def test_span(seconds, said):
    """A span reads well behind "after"."""
    assert words.span(seconds) == said


def test_a_moment_for_people_and_for_machines():
    """The same moment twice, both in UTC."""
    assert words.exact(1_804_237_440) == "5 March 2027, 09:04 UTC"
    assert words.machine(1_804_237_440) == "2027-03-05T09:04:00Z"
