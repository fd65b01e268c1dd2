"""Text and JSON output of `explain`, `run --dry-run` and `top`."""
