"""The subcommands of `gco-stream endpoint`."""
