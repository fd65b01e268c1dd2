"""Other releases of the program, for tests that no release restarts pods of another by itself.

`run` and `upgrade N` know one more version of the pod template, `run-first` only the first.
"""

import asyncio
import copy
import signal
import sys
from types import MappingProxyType

from gco_stream.admin.template_upgrade import request_upgrade
from gco_stream.manager.manager import Manager
from gco_stream.model.objects import JsonObject
from gco_stream.ops.logging import configure_logging
from gco_stream.ops.metrics import Metrics
from gco_stream.planning.resources.pod_template import RENDERINGS, Renderings, TemplateInputs
from gco_stream.settings import load_settings

GRACE_SECONDS = 45


def with_grace(inputs: TemplateInputs) -> JsonObject:
    """Renders today's template with a longer termination grace period."""
    pods = copy.deepcopy(RENDERINGS.render(inputs, RENDERINGS.current))
    pods["spec"]["terminationGracePeriodSeconds"] = GRACE_SECONDS
    return pods


FIRST = Renderings(MappingProxyType({1: RENDERINGS.by_version[1]}))
TWO = Renderings(MappingProxyType({**RENDERINGS.by_version, RENDERINGS.current + 1: with_grace}))


async def run(renderings: Renderings) -> None:
    settings = load_settings()
    configure_logging(settings.log_level, settings.log_format, cluster_id=settings.cluster_name, region=settings.region)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Manager(settings, Metrics(), renderings=renderings).run(stop)


async def upgrade_some(limit: int) -> None:
    done = await request_upgrade(
        load_settings(), None, limit, dry_run=False, on_each=lambda one: print(one.endpoint), renderings=TWO
    )
    print(f"{len(done.selection.deferred)} left")


if __name__ == "__main__":
    if sys.argv[1] == "upgrade":
        asyncio.run(upgrade_some(int(sys.argv[2])))
    else:
        asyncio.run(run(FIRST if sys.argv[1] == "run-first" else TWO))
