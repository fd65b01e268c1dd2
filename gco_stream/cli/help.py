"""What every command's --help has beside its own text: paragraphs that fill the line, and what exit codes mean."""

import inspect
from typing import Final

import typer

EXIT_CODES: Final = (
    "Exit codes: 0 it is done; 1 it failed; 2 the command line or a setting is wrong; 3 there is no such endpoint, "
    "table or object; 4 it is in another state, or somebody else was faster; 5 AWS or the cluster cannot be reached, "
    "so the same command may work later."
)


def tidy(app: typer.Typer) -> None:
    """Completes the help of all commands of `app` and of its groups."""
    for command in app.registered_commands:
        text = command.help or (command.callback.__doc__ if command.callback else None)
        command.help = reflowed(text or "")
        command.epilog = EXIT_CODES
    for group in app.registered_groups:
        if group.typer_instance is not None:
            tidy(group.typer_instance)


def reflowed(text: str) -> str:
    """Paragraphs on one line each, so that the terminal's width breaks them; what is indented stays as it is."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs)
