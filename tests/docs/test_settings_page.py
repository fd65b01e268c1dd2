"""docs/settings.md matches the settings in the code."""

import re

from gco_stream.settings import Settings
from tools.docs.settings_page import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python tools/docs/settings_page.py"


def test_every_setting_has_a_row_with_a_meaning() -> None:
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \|.*\| ([^|]+) \|$", page(), re.MULTILINE))
    assert {name.upper() for name in Settings.model_fields} <= set(rows)
    assert [name for name, meaning in rows.items() if not meaning.strip()] == []
