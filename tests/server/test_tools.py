"""The tools on the server: for anybody, in a sandbox."""

import pytest

from coatcheck.server.tools import policy_of
from coatcheck.tools import INDEX, TOOLS, build


@pytest.mark.parametrize("tool", build.ALL, ids=lambda tool: tool.name)
async def test_a_tool_is_served(browser, tool):
    """Without a session, under its own policy and not the one of the other pages; kept only after asking."""
    visitor = await browser()
    path = f"/tools/{'' if tool is INDEX else tool.name}"
    answer = await visitor.get(path)
    page = build.page(tool, suffix="")
    assert answer.status_code == 200
    assert answer.text == page.text
    assert answer.headers.get_list("content-security-policy") == [policy_of(page)]
    # With "same-origin" a browser that follows the standard shows an error in the place of a page in a sandbox.
    assert answer.headers.get_list("cross-origin-opener-policy") == ["unsafe-none"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache"
    assert "set-cookie" not in answer.headers
    again = await visitor.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == policy_of(page)
    assert (await visitor.head(path)).status_code == 200


async def test_what_is_no_tool(browser):
    """Told like any other address that leads nowhere, under the policy of the other pages."""
    visitor = await browser()
    answer = await visitor.get("/tools", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (308, "/tools/")
    for path in ("/tools/nothing", "/tools/jwt/", "/tools/shell/style.css", "/tools/../__init__.py"):
        assert (await visitor.get(path, follow_redirects=False)).status_code in (307, 404)
    assert "default-src 'none'; script-src 'self'" in (await visitor.get("/tools/x")).headers["content-security-policy"]
    assert len({policy_of(build.page(tool)) for tool in TOOLS}) == len(TOOLS)
