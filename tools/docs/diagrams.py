"""Diagrams of the pages become pictures while the site is built, so that no reader's browser needs a script.

mkdocs.yml names it as the fence `mermaid` of pymdownx.superfences.
"""

import html
import re
from typing import Any

import mermaidx


def diagram(source: str, _language: str, _class: str, _options: Any, _md: Any, **_: Any) -> str:
    """A ```mermaid block as an SVG of its own; on GitHub the same block is drawn by GitHub."""
    svg = re.sub(r"<\?xml[^>]*\?>", "", mermaidx.Diagram(source).svg())
    words = html.escape(" ".join(source.split()))
    return f'<div class="diagram" role="img" aria-label="{words}">{svg}</div>'
