"""What every process of the program imports, and what a collection of garbage need not look at again."""

import gc

import kubernetes_asyncio.config  # noqa: F401

import gco_stream.cli.commands.explain
import gco_stream.cli.commands.run
import gco_stream.cli.main
import gco_stream.manager.manager
import gco_stream.ops.logging
import gco_stream.settings  # noqa: F401

gc.freeze()
