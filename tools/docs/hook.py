"""What mkdocs asks of us while it builds the site: diagrams become pictures, so that no reader's browser needs a script.

mkdocs loads this file by its path (mkdocs.yml: hooks, and the fence of pymdownx.superfences).
"""

import html
import re
from pathlib import Path
from typing import Any

import mermaidx


def diagram(source: str, _language: str, _class: str, _options: Any, _md: Any, **_: Any) -> str:
    """A ```mermaid block as an SVG of its own; on GitHub the same block is drawn by GitHub."""
    svg = re.sub(r"<\?xml[^>]*\?>", "", mermaidx.Diagram(source).svg())
    words = html.escape(" ".join(source.split()))
    return f'<div class="diagram" role="img" aria-label="{words}">{svg}</div>'


def on_config(config: Any) -> Any:
    """Called by mkdocs. A page of the navigation that is not written yet is left out; links to it still fail."""
    folder = Path(config["docs_dir"])
    config["nav"] = [kept for entry in config["nav"] if (kept := _there(entry, folder))]
    return config


def _there(entry: Any, folder: Path) -> Any:
    if isinstance(entry, str):
        return entry if (folder / entry).exists() else None
    return {title: [page for page in pages if (folder / page).exists()] for title, pages in entry.items()}
