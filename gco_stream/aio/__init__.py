"""Helpers that depend on nothing else here: backoff, rate limiting, waiting, a clock and a short-lived cache."""
