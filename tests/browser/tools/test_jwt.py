"""The JWT decoder as people use it: paste, read, copy, verify; what is hostile stays text, and nothing is asked for."""

import base64
import json

import pytest
from playwright.sync_api import expect
from tests.browser.tools.test_every_page import address
from tests.tools.vectors import BY_NAME, KEYS, NOW, TOKENS

from coatcheck.tools import TOOLS

pytestmark = pytest.mark.browser

JWT = next(tool for tool in TOOLS if tool.name == "jwt")
CODES = "[...document.querySelectorAll('[data-code]')].map(one => one.dataset.code)"
MADE_OF_TEXT = "document.querySelectorAll('main script, main img, main iframe, main a, main object, main style').length"


@pytest.fixture
def open_it(visit):
    """Opens the decoder at the time of the vectors."""

    def do(base, **kwargs):
        page = visit(address(base, JWT), **kwargs)
        page.clock.set_fixed_time(NOW)
        return page

    return do


@pytest.fixture
def decoder(served, open_it):
    """The decoder, as the server serves it."""
    return open_it(served)


def token_field(page):
    return page.get_by_role("textbox", name="Token")


def key_field(page):
    return page.get_by_label("Secret or public key")


def paste(page, field, text):
    """Put *text* into *field* by the clipboard of the browser, as people do."""
    field.fill(text)
    field.press("Control+a")
    field.press("Control+x")
    expect(field).to_have_value("")
    field.press("Control+v")


def verdict(page):
    return page.locator(".verdict h2")


def test_the_story(base, open_it):
    """Paste, read, verify, copy, clear: from the server and from a file, and nothing is asked for."""
    page = open_it(base)
    paste(page, token_field(page), f'Authorization: Bearer "{BY_NAME["ES256"]["token"]}"\n')
    expect(verdict(page)).to_have_text("Not verified")
    payload = page.get_by_role("region", name="Payload")
    expect(payload).to_contain_text("not verified")
    expect(payload).to_contain_text("https://auth.example.com")
    expect(payload).to_contain_text("expires in 14 minutes")
    expect(payload).to_contain_text("2027-01-15 08:14:00 UTC")
    expect(page.locator(".size")).to_contain_text(f"{len(BY_NAME['ES256']['token'])} bytes as usual")

    page.get_by_role("button", name="Verify it").click()
    expect(key_field(page)).to_be_focused()
    paste(page, key_field(page), json.dumps(KEYS["p256"]["jwks"]))
    expect(verdict(page)).to_have_text("The signature fits")
    expect(payload).to_contain_text("signature fits")
    expect(page.get_by_role("heading", name="Not verified")).to_have_count(0)

    page.get_by_role("button", name="Copy the payload as JSON").click()
    expect(page.locator("#announcer")).to_have_text("Copied: the payload as JSON.")
    key_field(page).fill("")
    expect(verdict(page)).to_have_text("Not verified")
    key_field(page).press("Control+v")
    assert json.loads(key_field(page).input_value()) == BY_NAME["ES256"]["payload"]
    page.get_by_role("button", name="Copy the token alone").click()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".verdict")).to_have_count(0)
    expect(key_field(page)).to_be_hidden()
    token_field(page).press("Control+v")
    expect(token_field(page)).to_have_value(BY_NAME["ES256"]["token"])


def test_nothing_is_kept(served, open_it):
    """Neither title nor address changes, no storage is touched, and a reload forgets."""
    page = open_it(served)
    before = page.title(), page.url
    token_field(page).fill(BY_NAME["HS256"]["token"])
    key_field(page).fill(KEYS["hs"]["text"])
    expect(verdict(page)).to_have_text("The signature fits")
    assert (page.title(), page.url) == before
    assert page.evaluate("history.length") <= 2


def test_a_reload_forgets(files, profile):
    """What was pasted is not there any more."""
    page = profile().new_page()
    page.goto(address(files, JWT))
    token_field(page).fill(BY_NAME["HS256"]["token"])
    expect(verdict(page)).to_have_text("Not verified")
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    page.reload()
    expect(token_field(page)).to_have_value("")
    expect(page.locator(".verdict")).to_have_count(0)


def test_every_vector_in_the_browser(decoder):
    """Each is told as in Node: the same kind, the same findings, the same trouble; its text stays text."""
    told = decoder.evaluate(
        """tokens => tokens.map(text => {
          const field = document.getElementById("token");
          field.value = text;
          field.dispatchEvent(new Event("input"));
          return {
            kind: document.getElementById("results").dataset.state,
            findings: [...document.querySelectorAll("[data-code]")].map(one => one.dataset.code).sort(),
            breaks: document.querySelectorAll(".trouble").length === 1,
            says: document.querySelector(".verdict h2").textContent,
            made: document.querySelectorAll("main :is(script, img, iframe, a, object, style, [onerror])").length,
          };
        })""",
        [one["token"] for one in TOKENS],
    )
    for vector, said in zip(TOKENS, told, strict=True):
        assert (said["kind"], said["made"]) == (vector["kind"], 0), vector["name"]
        assert said["findings"] == sorted(vector["findings"]), vector["name"]
        assert said["breaks"] == bool(vector["trouble"]), vector["name"]
        assert vector["kind"] != "jws" or said["says"] == "Not verified"


@pytest.mark.long
def test_every_signature_in_the_browser(decoder):
    """The browser's own cryptography says what PyJWT and jose say."""
    for vector in [one for one in TOKENS if one["verdict"]]:
        forms = KEYS[vector["key"]]
        said = decoder.evaluate(
            """async ([token, key, format]) => {
              const outcome = document.getElementById("outcome");
              for (const [id, text] of [["key", ""], ["token", token], ["key", key]]) {
                document.getElementById(id).value = text;
                document.querySelector(`input[value=${format}]`).checked = true;
                document.getElementById(id).dispatchEvent(new Event("input"));
              }
              while (outcome.textContent === "") await new Promise(done => setTimeout(done));
              return document.querySelector(".verdict").classList[1];
            }""",
            [vector["token"], forms.get("pem") or forms["base64url"], "base64url"],
        )
        expected = {"fits": "fits", "differs": "differs", "cannot": "unverified"}[vector["verdict"]]
        assert said == expected, vector["name"]


def test_a_new_token_is_not_verified_by_an_old_verdict(decoder):
    """Whatever is changed, the page says "not verified" until it has been tried anew."""
    token_field(decoder).fill(BY_NAME["ES256"]["token"])
    key_field(decoder).fill(KEYS["p256"]["pem"])
    expect(verdict(decoder)).to_have_text("The signature fits")
    seen = decoder.evaluate(
        """text => new Promise(done => {
      const field = document.getElementById("token");
      const results = document.getElementById("results");
      const said = [];
      new MutationObserver(() => {
        said.push(results.querySelector(".verdict h2").textContent);
        if (said.length === 2) done(said);
      }).observe(results, {childList: true});
      field.value = text;
      field.dispatchEvent(new Event("input"));
    })""",
        BY_NAME["altered"]["token"],
    )
    assert seen == ["Not verified", "Not genuine: the signature does not fit this key"]


@pytest.mark.parametrize("form", ["hex", "base64", "base64url"])
def test_a_secret_in_another_form(decoder, form):
    """What is said of its form counts."""
    token_field(decoder).fill(BY_NAME["HS256"]["token"])
    key_field(decoder).fill(KEYS["hs"][form])
    expect(verdict(decoder)).to_contain_text("Not genuine")
    decoder.get_by_label(form, exact=True).check()
    expect(verdict(decoder)).to_have_text("The signature fits")


def test_it_breaks_here(decoder):
    """The letter is marked, in the token and in what it stands for."""
    token_field(decoder).fill(BY_NAME["no comma"]["token"])
    trouble = decoder.get_by_role("region", name="Here it breaks")
    expect(trouble).to_contain_text("a comma, or the closing bracket, is missing (character 16)")
    expect(trouble.locator("mark").nth(1)).to_have_text('"')
    token_field(decoder).fill(BY_NAME["a letter that does not belong"]["token"])
    expect(trouble).to_contain_text("U+0021 at character 41 of the payload")
    expect(trouble.locator("mark")).to_have_text("!")
    token_field(decoder).fill(BY_NAME["two parts"]["token"])
    expect(trouble).to_contain_text("The signature is missing")


def test_times_go_on(served, visit):
    """A token expires while one looks at it; what was selected stays selected."""
    page = visit(address(served, JWT), now=NOW + 838)
    token_field(page).fill(BY_NAME["ES256"]["token"])
    page.clock.run_for(200)
    expect(page.locator(".in-time")).to_have_text("Expires in 1 second")
    page.clock.run_for(3000)
    expect(page.locator(".in-time")).to_contain_text("Expired")
    assert page.evaluate(CODES) == ["expired"]
    title = page.locator("[data-code=expired] h3")
    page.evaluate("window.kept = document.querySelector('[data-code=expired] h3')")
    page.clock.run_for(180_000)
    expect(title).to_have_text("Expired 3 minutes ago")
    assert page.evaluate("window.kept.isConnected")


def test_several_tokens(decoder):
    """One chooses among those that are in it."""
    token_field(decoder).fill(f"Cookie: access={BY_NAME['ES256']['token']}; id={BY_NAME['RS256']['token']}")
    choice = decoder.get_by_label("2 tokens are in it")
    expect(decoder.get_by_role("region", name="Header")).to_contain_text("ES256")
    choice.select_option(index=1)
    expect(decoder.get_by_role("region", name="Header")).to_contain_text("RS256")


def test_by_keyboard_alone(decoder):
    """Everything is reached and done with Tab, Enter and the arrows, and what is focused is seen."""
    decoder.keyboard.press("Tab")
    expect(decoder.get_by_role("link", name="Skip to the content")).to_be_focused()
    decoder.keyboard.press("Enter")
    names = []
    for _ in range(3):
        decoder.keyboard.press("Tab")
        names.append(decoder.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert names == ["SUMMARY", "example", "token"]
    decoder.keyboard.insert_text(BY_NAME["HS256"]["token"])
    expect(verdict(decoder)).to_have_text("Not verified")
    decoder.keyboard.press("Tab")
    expect(decoder.get_by_role("button", name="Verify it")).to_be_focused()
    assert decoder.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    decoder.keyboard.press("Enter")
    expect(key_field(decoder)).to_be_focused()
    decoder.keyboard.insert_text(KEYS["hs"]["hex"])
    expect(verdict(decoder)).to_contain_text("Not genuine")
    decoder.keyboard.press("Tab")
    for _ in range(3):
        decoder.keyboard.press("ArrowDown")
    expect(decoder.get_by_label("hex")).to_be_focused()
    expect(verdict(decoder)).to_have_text("The signature fits")
    expect(decoder.locator("#announcer")).to_contain_text("The signature fits")


def test_a_file_is_dropped(decoder):
    """It is read in the tab; one that misses the field does not replace the page."""
    drop = """([selector, text]) => {
      const data = new DataTransfer();
      data.items.add(new File([text], "token.txt", {type: "text/plain"}));
      const event = new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true});
      document.querySelector(selector).dispatchEvent(event);
      return event.defaultPrevented;
    }"""
    assert decoder.evaluate(drop, ["h1", "elsewhere"]) is True
    assert decoder.evaluate(drop, ["#token", BY_NAME["ES256"]["token"]]) is True
    expect(token_field(decoder)).to_have_value(BY_NAME["ES256"]["token"])
    expect(verdict(decoder)).to_have_text("Not verified")
    assert decoder.evaluate(drop, ["#key", KEYS["p256"]["certificate"]]) is True
    expect(verdict(decoder)).to_have_text("The signature fits")


def test_an_example(decoder):
    """It can be read and verified, and has something wrong with it."""
    decoder.get_by_role("button", name="Example").click()
    expect(decoder.locator(".in-time")).to_have_text("Expires in 13 minutes")
    assert decoder.evaluate(CODES) == ["personal_claim", "shared_secret"]
    secret = key_field(decoder).get_attribute("placeholder").partition(": ")[2]
    key_field(decoder).fill(secret)
    expect(verdict(decoder)).to_have_text("The signature fits")


def test_hostile_text_is_seen(decoder):
    """Markup is text; what is invisible, or turns text around, is shown by its code."""
    token_field(decoder).fill(BY_NAME["markup and controls"]["token"])
    value = decoder.get_by_role("region", name="Payload").locator(".claim", has_text="sub").locator(".value")
    expect(value).to_contain_text("<script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}")
    assert value.locator(".odd").all_text_contents() == ["U+202E", "U+0000", "U+001B"]
    assert "\u202e" not in value.text_content()


# Made in the page: carrying 8 MB there takes longer than all the rest.
@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("'<img src=x onerror=alert(1)>'.repeat(300_000)", id="markup"),
        pytest.param("'eyJ' + 'A'.repeat(8_388_608)", id="one part", marks=pytest.mark.long),
        pytest.param(
            "'eyJhbGciOiJIUzI1NiJ9.' + 'W1tb'.repeat(2_097_152) + '.AAAA'", id="nested", marks=pytest.mark.long
        ),
        pytest.param("'.'.repeat(8_388_608)", id="dots"),
        pytest.param("'ey.ey '.repeat(1_398_102)", id="many words"),
    ],
)
def test_8_mb(decoder, text):
    """The tab lives, says what it is, and goes on."""
    size = decoder.evaluate(f"""() => {{
      const field = document.getElementById("token");
      field.value = {text};
      field.dispatchEvent(new Event("input"));
      return field.value.length;
    }}""")
    assert size >= 8_388_608
    expect(verdict(decoder)).to_contain_text("Not read")
    assert decoder.evaluate(MADE_OF_TEXT) == 0
    decoder.get_by_role("button", name="Clear").click()
    token_field(decoder).fill(BY_NAME["ES256"]["token"])
    expect(verdict(decoder)).to_have_text("Not verified")


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param("[" * 150 + ",".join(["[1,{}]"] * 60_000) + "]" * 150, id="deep"),
        pytest.param("{" + ",".join(f'"{n}":{n}' for n in range(50_000)) + "}", id="names"),
        pytest.param('{"a":"' + "\\u0000\\u202e" * 40_000 + '"}', id="controls"),
        pytest.param("{" + ",".join(['"a":1'] * 60_000) + "}", id="twice"),
    ],
)
def test_a_bomb(decoder, payload):
    """A payload that is short and would make a very long page is cut, and says so."""
    body = base64.urlsafe_b64encode(payload.encode()).rstrip(b"=").decode()
    token_field(decoder).fill(f"eyJhbGciOiJIUzI1NiJ9.{body}.AAAA")
    expect(verdict(decoder)).to_have_text("Not verified")
    assert decoder.evaluate("document.querySelectorAll('main *').length") < 10_000
    assert decoder.evaluate("document.querySelector('main').textContent.length") < 200_000
