"""`gco-stream run`: the controller itself, and its dry run."""

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
        bool, typer.Option("--dry-run", help="Print what would be done, and why; do nothing, take no lease.")
    ] = False,
) -> None:
    """Run the controller; settings come from the environment.

    It serves /healthz, /readyz, /metrics and the status page (/) at once, and works on endpoints while it holds the
    lease. SIGTERM and Ctrl-C finish the work in hand and release the lease; a second one ends it at once.

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

    async def life() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        signals = (signal.SIGTERM, signal.SIGINT)

        def on_signal() -> None:
            # The next one, of either kind, has its default effect: it ends the process at once.
            stop.set()
            for number in signals:
                loop.remove_signal_handler(number)

        for number in signals:
            loop.add_signal_handler(number, on_signal)
        await controller.run(stop)

    try:
        asyncio.run(life())
    except OSError as error:
        where = f"{settings.http_host}:{settings.http_port}"
        raise CommandError(f"HTTP_HOST, HTTP_PORT: cannot listen on {where}: {error.strerror or error}") from None
