"""The site lists every page, and the check for resources from other hosts works."""

from pathlib import Path
from xml.etree import ElementTree

import yaml

from tools.docs.nothing_from_outside import loads

ROOT = Path(__file__).parents[2]


class _Loader(yaml.SafeLoader):
    """Loads mkdocs.yml, which has tags for Python objects."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _loader, suffix, _node: suffix)


def pages(entries: list[object]) -> list[str]:
    found: list[str] = []
    for entry in entries:
        for part in [entry] if isinstance(entry, str) else entry.values():
            found += [part] if isinstance(part, str) else pages(part)
    return found


def test_every_page_is_in_the_navigation_once() -> None:
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)  # noqa: S506 - a SafeLoader
    listed = pages(config["nav"])
    assert len(listed) == len(set(listed))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} == set(listed)
    assert config["theme"]["font"] is False
    assert config["strict"] is True


def test_resources_from_other_hosts_are_found() -> None:
    assert loads('<script src="https://cdn.example/x.js"></script>') == ["script https://cdn.example/x.js"]
    assert loads('<link rel="stylesheet" href="//fonts.example/x.css">') == ["link //fonts.example/x.css"]
    assert (
        loads('<a href="https://example.com">x</a><img src="pictures/x.svg"><link rel="canonical" href="https://x">')
        == []
    )


def test_every_picture_has_a_title_and_a_description() -> None:
    pictures = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
    assert len(pictures) >= 4
    for picture in pictures:
        root = ElementTree.fromstring(picture.read_text())  # noqa: S314 - our own files
        names = [child.tag.rpartition("}")[2] for child in root]
        assert names[:2] == ["title", "desc"], picture.name
