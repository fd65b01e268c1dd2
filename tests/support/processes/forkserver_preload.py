"""Imports shared by all forked processes, frozen so that garbage collection skips them."""

import gc

import kubernetes_asyncio.config  # noqa: F401

import gco_stream.cli.commands.explain
import gco_stream.cli.commands.run
import gco_stream.cli.main
import gco_stream.manager.manager
import gco_stream.ops.logging
import gco_stream.settings  # noqa: F401

gc.freeze()
