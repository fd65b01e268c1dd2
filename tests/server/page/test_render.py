"""The page's HTML, of values alone."""

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


class Seen(HTMLParser):
    """The tags and attributes of a page, and its text."""

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
    return [(tag, tuple(attributes)) for tag, attributes in Seen(text).tags]


def test_what_others_write_stays_text(renderer: Renderer) -> None:
    hostile, plain = (renderer.endpoint(SITE, endpoint(text=text), NOW) for text in (HOSTILE, "x"))
    assert shape(hostile) == shape(plain)
    assert Seen(hostile).text.count(HOSTILE) >= 15


def test_what_would_hide_or_turn_letters_around_is_written_out(renderer: Renderer) -> None:
    page = renderer.endpoint(SITE, endpoint(text="\u202egnp.exe\x1b[2J"), NOW)
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "\\u202egnp.exe" in page


@pytest.mark.parametrize("where", ["name", "desired", "state", "reason", "message"])
def test_a_row_of_hostile_words_is_a_row_like_any_other(renderer: Renderer, where: str) -> None:
    row = Row("chat", "running", "running", 1, 1, (("us-east-1", "running"),), "Rejected", "ill", NOW)
    pages = [
        renderer.fleet(SITE, fleet((replace(row, **{where: word}),)), Query(), NOW) for word in (HOSTILE, "busy-word")
    ]
    assert shape(pages[0]) == shape(pages[1])
    hrefs = [attributes["href"] for tag, attributes in Seen(pages[0]).tags if tag == "a" and attributes.get("href")]
    assert all(re.match(r"(/|#)", str(href)) and "<" not in str(href) for href in hrefs)


def test_a_hostile_search_stays_text(renderer: Renderer) -> None:
    page = renderer.fleet(SITE, fleet(rows(3)), Query.of({"q": HOSTILE, "state": HOSTILE, "region": HOSTILE}), NOW)
    assert "<script>alert" not in page
    assert "onerror" not in str([attributes for _, attributes in Seen(page).tags if "onerror" in attributes])


def test_nothing_is_loaded_but_our_own_files_and_nothing_is_inline(renderer: Renderer) -> None:
    pages = (
        renderer.fleet(SITE, fleet(rows(60)), Query(), NOW),
        renderer.endpoint(SITE, endpoint(), NOW),
        renderer.stream(SITE, NOW),
        renderer.message(SITE, "None", "of it", NOW),
    )
    for page in pages:
        seen = Seen(page)
        for tag, attributes in seen.tags:
            assert tag != "style"
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert str(attributes.get("src") or attributes.get("href") or "/")[0] in "/#"
        ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
        assert len(ids) == len(set(ids))


def test_what_is_not_as_asked_comes_before_the_list(renderer: Renderer) -> None:
    page = renderer.fleet(SITE, fleet(rows(300)), Query(), NOW)
    assert page.index(NO_REPLICA) < page.index("All endpoints")
    assert "since <time" in page


def test_a_standby_says_who_leads(renderer: Renderer) -> None:
    standby = replace(SITE, leading=False, leader="pod-b_2", stream=None, is_working=False)
    text = " ".join(Seen(renderer.fleet(standby, fleet(rows(2)), Query(), NOW)).text.split())
    assert "This replica stands by. pod-b_2 leads since 90 s ago" in text.replace("2 min ago", "90 s ago")
    assert "Only the leader reads the stream." in renderer.stream(standby, NOW)


def test_an_endpoint_without_anything_to_tell_is_a_page_too(renderer: Renderer) -> None:
    page = renderer.endpoint(SITE, Endpoint("chat", "gone", "the table has no such item", in_desired_state=True), NOW)
    assert "No change has come since" in page
    found = EndpointHistory(change=Change("scan", "", NOW - 2, NOW - 10, "item"))
    assert "Found by a scan of the table." in renderer.endpoint(
        SITE, Endpoint("chat", "x", "y", in_desired_state=False, history=found), NOW
    )
    told = Endpoint("chat", "x", "y", in_desired_state=False, history=EndpointHistory(), events_problem="not allowed")
    assert "They cannot be read: not allowed" in renderer.endpoint(SITE, told, NOW)


def test_the_timeline_tells_itself_in_words_too(renderer: Renderer) -> None:
    page = renderer.endpoint(SITE, endpoint(), NOW)
    assert "Changed; read 300 ms later, applied 100 ms later, not ready yet." in page


def test_poll_mode_is_said(renderer: Renderer) -> None:
    polling = replace(SITE, stream=Stream("poll", "the table has no stream"))
    assert "the table has no stream" in renderer.stream(polling, NOW)
    assert "mode: the stream cannot be read" in renderer.fleet(polling, Fleet(), Query(), NOW)


def test_more_shards_than_there_is_room_for_are_counted(renderer: Renderer) -> None:
    shards = tuple(Shard(f"shardId-{number:04}", "reading", None, None, None) for number in range(100))
    page = renderer.stream(replace(SITE, stream=Stream("stream", "", shards=shards)), NOW)
    assert "36 more are not drawn" in page
    assert page.count("<tr>") == 65
