"""docs/item.md lists every attribute of an item and every field of its spec."""

import re
from pathlib import Path

import pytest

from gco_stream.model.item.spec import Autoscaling, Canary, EndpointSpec, Resources
from tests.support.items import item

PAGE = (Path(__file__).parents[2] / "docs" / "item.md").read_text()
ATTRIBUTES = {*item(), "hold"}
FIELDS = {field for part in (EndpointSpec, Resources, Autoscaling, Canary) for field in part.model_fields}


@pytest.mark.parametrize("name", sorted(ATTRIBUTES | FIELDS))
def test_every_attribute_and_field_is_on_the_page(name: str) -> None:
    assert re.search(rf"`{name}`", PAGE)


def test_every_field_of_the_spec_has_a_row() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE.partition("## The spec")[2], re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(EndpointSpec.model_fields) <= listed
