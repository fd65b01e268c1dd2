"""Checks that the built site loads no scripts, styles, fonts or images from other hosts. Links to them are allowed.

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
# Browsers do not fetch these links on their own.
NAMED_ONLY = {"canonical", "alternate", "next", "prev"}


class Loads(HTMLParser):
    """Collects the URLs on other hosts that a browser fetches for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called for each start tag."""
        values = dict(attrs)
        address = values.get(LOADED.get(tag, "")) or ""
        if set((values.get("rel") or "").split()) & NAMED_ONLY:
            return
        if address.startswith(("http:", "https:", "//")):
            self.found.append(f"{tag} {address}")


def loads(page: str) -> list[str]:
    """The resources on other hosts that a browser fetches for the HTML `page`."""
    parser = Loads()
    parser.feed(page)
    return parser.found


def main() -> int:
    """Returns the exit code: 1 if the site loads anything from another host, or has no pages."""
    site = Path(sys.argv[1])
    pages = sorted(site.rglob("*.html"))
    found = [f"{page.relative_to(site)}: {one}" for page in pages for one in loads(page.read_text())]
    found += [
        f"{style.relative_to(site)}: an @import or a font from another host"
        for style in site.rglob("*.css")
        if "url(http" in style.read_text() or "@import url(//" in style.read_text()
    ]
    for line in found or ([] if pages else [f"{site} has no pages"]):
        print(line, file=sys.stderr)
    return bool(found or not pages)


if __name__ == "__main__":
    sys.exit(main())
