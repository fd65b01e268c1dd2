"""Renders Mermaid diagrams to SVG while the site is built, so that the pages need no JavaScript.

mkdocs.yml registers it as the fence `mermaid` of pymdownx.superfences.
"""

import html
import re
from typing import Any

import mermaidx


def diagram(source: str, _language: str, _class: str, _options: Any, _md: Any, **_: Any) -> str:
    """Renders a ```mermaid block as inline SVG. GitHub renders the same block itself."""
    svg = re.sub(r"<\?xml[^>]*\?>", "", mermaidx.Diagram(source).svg())
    words = html.escape(" ".join(source.split()))
    return f'<div class="diagram" role="img" aria-label="{words}">{svg}</div>'
