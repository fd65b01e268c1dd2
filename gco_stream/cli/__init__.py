"""The gco-stream command line."""
