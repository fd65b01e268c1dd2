"""What docs/security.md says that the controller may do is what it does."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security.md"


def test_the_actions_on_this_page_are_those_that_the_code_calls() -> None:
    called = {
        "".join(word.capitalize() for word in operation.split("_"))
        for source in ("table/endpoints.py", "stream/client.py")
        for operation in re.findall(
            r'_(?:call|write|try)\w*\(\s*"([a-z_]+)"', (ROOT / "gco_stream" / source).read_text()
        )
    }
    policy = PAGE.read_text().partition("## What the controller needs in AWS")[2].partition("\n## ")[0]
    assert set(re.findall(r"`dynamodb:(\w+)`", policy)) == called
    assert len(called) == 8
