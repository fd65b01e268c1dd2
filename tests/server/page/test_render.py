"""Tests of the HTML that is rendered from values."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from gco_stream.engine.state.endpoint_history import Change, EndpointHistory
from gco_stream.server.page.query import Query
from gco_stream.server.page.render import Renderer
from gco_stream.server.page.view_models import Endpoint, Fleet, Row, Shard, Stream
from tests.support.status_page import NO_REPLICA, NOW, SITE, endpoint, fleet, rows

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg/onload=alert(1)>{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


class ParsedPage(HTMLParser):
    """Parses a page into its tags with attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def shape(text: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(attributes)) for tag, attributes in ParsedPage(text).tags]


def test_untrusted_text_is_escaped(renderer: Renderer) -> None:
    hostile, plain = (renderer.endpoint(SITE, endpoint(text=text), NOW) for text in (HOSTILE, "x"))
    assert shape(hostile) == shape(plain)
    assert ParsedPage(hostile).text.count(HOSTILE) >= 15


def test_control_and_bidirectional_characters_are_shown_as_escapes(renderer: Renderer) -> None:
    page = renderer.endpoint(SITE, endpoint(text="\u202egnp.exe\x1b[2J"), NOW)
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\\u202egnp.exe" in page


@pytest.mark.parametrize("where", ["name", "desired", "state", "reason", "message"])
def test_a_row_with_hostile_text_has_the_same_structure(renderer: Renderer, where: str) -> None:
    row = Row("chat", "running", "running", 1, 1, (("us-east-1", "running"),), "Rejected", "ill", NOW)
    pages = [
        renderer.fleet(SITE, fleet((replace(row, **{where: word}),)), Query(), NOW) for word in (HOSTILE, "busy-word")
    ]
    assert shape(pages[0]) == shape(pages[1])
    hrefs = [
        attributes["href"] for tag, attributes in ParsedPage(pages[0]).tags if tag == "a" and attributes.get("href")
    ]
    assert all(re.match(r"(/|#)", str(href)) and "<" not in str(href) for href in hrefs)


def test_a_hostile_search_is_escaped(renderer: Renderer) -> None:
    page = renderer.fleet(SITE, fleet(rows(3)), Query.of({"q": HOSTILE, "state": HOSTILE, "region": HOSTILE}), NOW)
    assert "<script>alert" not in page
    assert "onerror" not in str([attributes for _, attributes in ParsedPage(page).tags if "onerror" in attributes])


def test_only_own_files_are_loaded_and_nothing_is_inline(renderer: Renderer) -> None:
    pages = (
        renderer.fleet(SITE, fleet(rows(60)), Query(), NOW),
        renderer.endpoint(SITE, endpoint(), NOW),
        renderer.stream(SITE, NOW),
        renderer.message(SITE, "None", "of it", NOW),
    )
    for page in pages:
        seen = ParsedPage(page)
        for tag, attributes in seen.tags:
            assert tag != "style"
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert str(attributes.get("src") or attributes.get("href") or "/")[0] in "/#"
        ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
        assert len(ids) == len(set(ids))


def test_endpoints_that_need_attention_come_before_the_list(renderer: Renderer) -> None:
    page = renderer.fleet(SITE, fleet(rows(300)), Query(), NOW)
    assert page.index(NO_REPLICA) < page.index("All endpoints")
    assert '<span class="since"><time' in page


def test_the_reason_code_is_shown_beside_the_message(renderer: Renderer) -> None:
    code = '<span class="tag reason" title="reason code">{}</span>'
    assert f"{NO_REPLICA} {code.format('IngressWithdrawn')}" in renderer.fleet(SITE, fleet(rows(9)), Query(), NOW)
    shown = renderer.endpoint(SITE, endpoint(), NOW)
    assert f"updating, 1 of 2 ready {code.format('Progressing')}" in shown
    settled = Endpoint("chat", "running", "running here, as desired", in_desired_state=True)
    assert "reason code" not in renderer.endpoint(SITE, settled, NOW)


def test_a_standby_shows_the_leader(renderer: Renderer) -> None:
    standby = replace(SITE, leading=False, leader="pod-b_2", stream=None, is_working=False)
    text = " ".join(ParsedPage(renderer.fleet(standby, fleet(rows(2)), Query(), NOW)).text.split())
    assert "This replica is a standby. The leader is pod-b_2, elected 90 s ago" in text
    assert "Only the leader reads the stream." in renderer.stream(standby, NOW)


def test_an_endpoint_without_history_has_a_page(renderer: Renderer) -> None:
    page = renderer.endpoint(SITE, Endpoint("chat", "gone", "the table has no such item", in_desired_state=True), NOW)
    assert "No changes since this replica started." in page
    found = EndpointHistory(change=Change("scan", "", NOW - 2, NOW - 10, "item"))
    assert "Found by a table scan." in renderer.endpoint(
        SITE, Endpoint("chat", "x", "y", in_desired_state=False, history=found), NOW
    )
    without = Endpoint(
        "chat", "x", "y", in_desired_state=False, history=EndpointHistory(), events_problem="not allowed"
    )
    assert "Events cannot be listed: not allowed" in renderer.endpoint(SITE, without, NOW)


def test_the_timeline_has_a_text_alternative(renderer: Renderer) -> None:
    page = renderer.endpoint(SITE, endpoint(), NOW)
    assert "Changed; read 300 ms later, applied 100 ms later, not ready yet." in page


def test_poll_mode_is_shown(renderer: Renderer) -> None:
    polling = replace(SITE, stream=Stream("poll", "the table has no stream"))
    assert "the table has no stream" in renderer.stream(polling, NOW)
    assert "mode: the stream is not readable" in renderer.fleet(polling, Fleet(), Query(), NOW)


def test_shards_that_are_not_drawn_are_counted(renderer: Renderer) -> None:
    shards = tuple(Shard(f"shardId-{number:04}", "reading", None, None, None) for number in range(100))
    page = renderer.stream(replace(SITE, stream=Stream("stream", "", shards=shards)), NOW)
    assert "36 more are not drawn" in page
    assert page.count("<tr>") == 65
