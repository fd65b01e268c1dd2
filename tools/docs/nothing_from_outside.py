"""Whether the built site loads anything from elsewhere: scripts, styles, fonts, pictures. Links may lead anywhere.

python tools/docs/nothing_from_outside.py build/site
"""

import sys
from html.parser import HTMLParser
from pathlib import Path

LOADED = {
    "script": "src",
    "img": "src",
    "link": "href",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
}
# What a browser does not fetch by itself.
NAMED_ONLY = {"canonical", "alternate", "next", "prev"}


class Loads(HTMLParser):
    """Collects the addresses that a page makes a browser fetch from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called with each tag."""
        values = dict(attrs)
        address = values.get(LOADED.get(tag, "")) or ""
        if set((values.get("rel") or "").split()) & NAMED_ONLY:
            return
        if address.startswith(("http:", "https:", "//")):
            self.found.append(f"{tag} {address}")


def loads(page: str) -> list[str]:
    """What `page`, HTML, makes a browser fetch from other hosts."""
    parser = Loads()
    parser.feed(page)
    return parser.found


def main() -> int:
    """The exit code: 1 where something is loaded from elsewhere, or there is no site."""
    site = Path(sys.argv[1])
    pages = sorted(site.rglob("*.html"))
    found = [f"{page.relative_to(site)}: {one}" for page in pages for one in loads(page.read_text())]
    found += [
        f"{style.relative_to(site)}: an @import or a font of another host"
        for style in site.rglob("*.css")
        if "url(http" in style.read_text() or "@import url(//" in style.read_text()
    ]
    for line in found or ([] if pages else [f"{site} has no pages"]):
        print(line, file=sys.stderr)
    return bool(found or not pages)


if __name__ == "__main__":
    sys.exit(main())
