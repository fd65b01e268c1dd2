"""Entry point of `gco-stream`, which registers the commands and handles their errors."""

import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from gco_stream.cli.commands import approve_deletes, demo, doctor, explain, local, run, table, top
from gco_stream.cli.commands.endpoint import lifecycle as endpoint
from gco_stream.cli.errors import command_error_of
from gco_stream.cli.help import EXIT_CODES, tidy
from gco_stream.model.text import terminal_safe

app = typer.Typer(
    name="gco-stream",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Runs AI inference endpoints on Kubernetes, as defined in a DynamoDB table.",
    epilog=EXIT_CODES,
)
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(table.app, name="table")
app.add_typer(local.app, name="local")
app.command("run")(run.run)
app.command("explain")(explain.explain)
app.command("top")(top.top)
app.command("doctor")(doctor.doctor)
app.command("approve-deletes")(approve_deletes.approve_deletes)
app.command("demo")(demo.demo)
tidy(app)


def _version(requested: bool) -> None:
    if requested:
        from gco_stream import __version__

        typer.echo(f"gco-stream {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Global options."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command given by `arguments` (by default, `sys.argv[1:]`) and exits with its exit code.

    Expected errors are printed to standard error without a traceback. Other errors indicate bugs and are raised.
    """
    try:
        app(arguments, prog_name="gco-stream")
    except Exception as error:
        command_error = command_error_of(error)
        if command_error is None:
            raise
        for line in str(command_error).splitlines():
            typer.echo(f"gco-stream: {terminal_safe(line)}", err=True)
        sys.exit(command_error.code)
    sys.exit(0)
