"""Formatting of `--help`: paragraphs that wrap at the terminal width, and a list of the exit codes."""

import inspect
from typing import Final

import typer

EXIT_CODES: Final = (
    "Exit codes: 0 success; 1 failure; 2 invalid command line or setting; 3 endpoint, table or object not found; "
    "4 conflict: the endpoint is in another state, or was changed concurrently; 5 AWS or the cluster is not reachable, "
    "so the command may succeed later."
)


def tidy(app: typer.Typer) -> None:
    """Formats the help of all commands in `app` and its groups, and appends the exit codes."""
    for command in app.registered_commands:
        text = command.help or (command.callback.__doc__ if command.callback else None)
        command.help = reflowed(text or "")
        command.epilog = EXIT_CODES
    for group in app.registered_groups:
        if group.typer_instance is not None:
            tidy(group.typer_instance)


def reflowed(text: str) -> str:
    """Joins the lines of each paragraph, so that it wraps at the terminal width. Indented paragraphs are unchanged."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)
