"""`gco-stream run`: runs the controller or shows a dry run."""

import asyncio
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from gco_stream.cli.commands.explain import show_dry_run
from gco_stream.cli.errors import CommandError

if TYPE_CHECKING:
    from gco_stream.settings import Settings


def run(
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show what the controller would do and why. Changes nothing and takes no Lease."
        ),
    ] = False,
) -> None:
    """Run the controller. Settings come from the environment.

    The controller always serves /healthz, /readyz, /metrics and the status page (/), and reconciles endpoints while it
    holds the Lease. On SIGTERM or Ctrl-C, it finishes the reconciles in progress, releases the Lease and exits; a
    second signal ends it immediately.

    Examples:

      REGION=us-east-1 CLUSTER_NAME=gco-us-east-1 gco-stream run

      REGION=us-east-1 gco-stream run --dry-run
    """
    from gco_stream.settings import load_settings

    settings = load_settings()
    if dry_run:
        show_dry_run(settings)
        return
    _serve(settings)


def _serve(settings: "Settings") -> None:
    from gco_stream.manager.manager import Manager
    from gco_stream.ops.logging import configure_logging
    from gco_stream.ops.metrics import Metrics
    from gco_stream.ops.process import collect_process

    configure_logging(settings.log_level, settings.log_format, cluster_id=settings.cluster_name, region=settings.region)
    metrics = Metrics()
    collect_process(metrics.registry)
    controller = Manager(settings, metrics)

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        signals = (signal.SIGTERM, signal.SIGINT)

        def on_signal() -> None:
            # Without the handlers, a second signal has its default effect and ends the process.
            stop.set()
            for number in signals:
                loop.remove_signal_handler(number)

        for number in signals:
            loop.add_signal_handler(number, on_signal)
        await controller.run(stop)

    try:
        asyncio.run(serve())
    except OSError as error:
        where = f"{settings.http_host}:{settings.http_port}"
        raise CommandError(f"HTTP_HOST, HTTP_PORT: cannot listen on {where}: {error.strerror or error}") from None
