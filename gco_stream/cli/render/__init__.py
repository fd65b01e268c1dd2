"""Text and JSON output of the larger commands."""
