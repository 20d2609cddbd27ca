"""Each tutorial followed literally in an empty folder: its programs, its commands, its promises."""

import re
import urllib.parse

import pytest
from tests.adapters.programs import Page

OURS = {"Sec-Fetch-Site": "same-origin"}


def password(program):
    """The password that the tutorial's program shows in the terminal."""
    return re.search(r"password (\S+)", program.said)[1]


@pytest.fixture
def follow(tmp_path):
    """Begin a tutorial."""
    return lambda name: Page(name, tmp_path)


@pytest.mark.long
def test_fastapi(follow):
    """Greeted by nobody's name, then by one's own; a fresh sign-in is asked for; ended from the second terminal."""
    page = follow("fastapi.md")
    first, complete = page.blocks("python", "app = FastAPI(")
    (command,) = page.blocks("", "uvicorn app:app")
    page.write("app.py", first)
    with page.running(command) as program:
        assert program.browser().get("/hello").json == "Hello, whoever you are."
        assert program.browser("http://127.0.0.1:8000").get("/hello").status == 421
    page.write("app.py", complete)
    with page.running(command) as program:
        browser = program.browser()
        assert browser.get("/docs").status == 200
        assert browser.get("/me").status == 401
        assert browser.post("/sign-in", {"name": "maria", "password": "wrong"}).status == 401
        assert browser.post("/sign-in", {"name": "maria", "password": password(program)}).status == 200
        assert browser.get("/me").json["sub"] == "maria"
        assert browser.get("/hello").json == "Hello, maria."
        assert browser.post("/safe/open").json == "It is open, maria."
        (ending,) = page.blocks("", "revoke_user")
        assert len(page.shell(ending).splitlines()) == 1
        assert browser.get("/me").status == 401
        assert browser.post("/sign-in", {"name": "maria", "password": password(program)}).status == 200
        assert browser.post("/sign-out").json == "Goodbye."
        assert browser.get("/me").status == 401


def form(browser, path, **fields):
    """Send a form as a page of ours does."""
    body = urllib.parse.urlencode(fields)
    return browser.send("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded", **OURS})


@pytest.mark.long
def test_flask(follow):
    """Counted without a name, then greeted by it; a fresh sign-in is asked for; ended from the second terminal."""
    page = follow("flask.md")
    first, complete = page.blocks("python", "app = Flask(")
    (command,) = page.blocks("", "flask --app app")
    page.write("app.py", first)
    with page.running(command) as program:
        browser = program.browser()
        answers = [browser.get("/").body.decode() for _ in range(3)]
        assert answers[2] == "Hello, whoever you are. You have been here 3 times."
        assert program.browser("http://127.0.0.1:8000").get("/").status == 421
    page.write("app.py", complete)
    with page.running(command) as program:
        browser = program.browser()
        assert browser.get("/", accept="text/html").fields["location"].startswith("/sign-in?next=/")
        assert b'name="csrf_token"' in browser.get("/sign-in").body
        assert form(browser, "/sign-in", name="maria", password="wrong").status == 401
        assert form(browser, "/sign-in", name="maria", password=password(program)).fields["location"] == "/"
        assert b"Hello, maria, for the 1. time" in browser.get("/").body
        assert browser.get("/safe").body == b"It is open."
        (ending,) = page.blocks("", "revoke_user")
        assert len(page.shell(ending).splitlines()) == 1
        assert browser.get("/").status == 401
        form(browser, "/sign-in", name="maria", password=password(program))
        assert form(browser, "/sign-out").fields["location"] == "/sign-in"
        assert browser.get("/").status == 401


@pytest.mark.long
def test_django(follow):
    """A project is begun and its settings are changed: it counts, knows its visitor, and forgets who was ended."""
    page = follow("django.md")
    page.shell(page.blocks("", "startproject")[0])
    settings = page.folder / "mysite" / "settings.py"
    text = settings.read_text().replace("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "coatcheck.django",')
    rows = re.findall(r"^\| `(django[.\w]+)` \| `(coatcheck[.\w]+)` \|$", page.text, re.MULTILINE)
    assert len(rows) == 2
    for theirs, ours in rows:
        assert theirs in text
        text = text.replace(theirs, ours)
    (ending,) = page.blocks("python", "SESSION_ENGINE")
    settings.write_text(text + ending)
    page.write("mysite/urls.py", page.blocks("python", "urlpatterns")[0])
    assert "no issues" in page.shell(page.blocks("", "manage.py check")[0])
    page.shell(page.blocks("", "manage.py migrate")[0])
    (command,) = page.blocks("", "runserver")
    with page.running(command) as program:
        browser = program.browser()
        answers = [browser.get("/").body.decode() for _ in range(2)]
        assert answers[1] == "Hello, whoever you are. You have been here 2 times."
        assert browser.get("/safe").status == 401
        right = {"username": "maria", "password": "a long password", "next": "/"}
        assert form(browser, "/admin/login/", **right).status == 302
        assert browser.get("/").body == b"Hello, maria. You have been here 3 times."
        assert b"It is open." in browser.get("/safe").body
        listed = browser.get("/admin/coatcheck/usersession/?q=maria").body
        assert b"127.0.0.1" in listed
        assert page.shell(page.blocks("", "revoke_user")[0]).count("ended:") == 1
        assert b"Hello, whoever you are." in browser.get("/").body
