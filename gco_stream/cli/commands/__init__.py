"""The commands of gco-stream, with one module per command or command group."""
