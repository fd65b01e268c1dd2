"""HTML rendering of the status page. After the templates are loaded, it does no I/O and does not read the clock.

Text from items, Kubernetes objects and Events is untrusted: Jinja2 escapes it, and no template marks it as safe.
Control and bidirectional characters are shown as escape sequences.
"""

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final
from urllib.parse import quote

from jinja2 import DictLoader, Environment, StrictUndefined

from gco_stream.model.text import printable
from gco_stream.server.page import formatting as words
from gco_stream.server.page import svg as pictures
from gco_stream.server.page.query import HELD, NEEDS_ATTENTION, Query, paginate
from gco_stream.server.page.view_models import Endpoint, Fleet, Site

_MAX_CARDS: Final = 12
_TYPES: Final[Mapping[str, str]] = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def _visible(value: Any) -> Any:
    # A Markup value is the output of a template macro. This function has already been applied to the values in it.
    return printable(value) if type(value) is str else value


class Renderer:
    """Renders the pages, and holds the static files. `files`: content type and content by file name.

    The constructor reads files, so do not call it on the event loop.
    """

    def __init__(self) -> None:
        here = resources.files(__package__)
        self.files = {name: (type_, here.joinpath("static", name).read_bytes()) for name, type_ in _TYPES.items()}
        digest = hashlib.sha256(b"".join(content for _, content in self.files.values())).hexdigest()[:12]
        templates = {one.name: one.read_text("utf-8") for one in here.joinpath("templates").iterdir() if one.is_file()}
        self._environment = Environment(
            loader=DictLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_visible,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "tone": words.tone,
            "span": words.span,
            "iso": words.iso,
            "exact": words.exact,
            "clock": words.clock,
            "number": words.number,
            "result": words.result,
            "short_kind": words.short_kind,
            "short_id": pictures.short_id,
            "path": lambda text: quote(text, safe=""),
        }
        self._environment.globals |= {
            "ago": words.ago,
            "digest": digest,
            "NEEDS_ATTENTION": NEEDS_ATTENTION,
            "HELD": HELD,
        }
        for name in templates:
            self._environment.get_template(name)

    def fleet(self, site: Site, fleet: Fleet, query: Query, now: float) -> str:
        """Returns the overview of the fleet. `now`: seconds since 1970."""
        return self._render(
            "fleet.html",
            site=site,
            fleet=fleet,
            query=query,
            listing=paginate(fleet, query),
            cards=fleet.needs_attention[:_MAX_CARDS],
            states=pictures.bar(fleet.states),
            regions=[(name, sum(count for _, count in counts), pictures.bar(counts)) for name, counts in fleet.regions],
            now=now,
        )

    def endpoint(self, site: Site, endpoint: Endpoint, now: float) -> str:
        """Returns the page of one endpoint."""
        change = endpoint.history.change
        return self._render(
            "endpoint.html",
            site=site,
            endpoint=endpoint,
            timeline=None if change is None else pictures.timeline(change),
            query=Query(),
            now=now,
        )

    def stream(self, site: Site, now: float) -> str:
        """Returns the page that shows the leader and the stream."""
        stream = site.stream
        lanes = None if stream is None else pictures.lanes(stream.shards, stream.poll_interval)
        return self._render("stream.html", site=site, lanes=lanes, query=Query(), now=now)

    def message(self, site: Site, title: str, text: str, now: float) -> str:
        """Returns a page that shows only a message."""
        return self._render("message.html", site=site, title=title, text=text, query=Query(), now=now)

    def _render(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(**values)
