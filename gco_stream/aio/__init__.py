"""Asyncio helpers that depend on nothing else here: rate limiting, backoff and a short-lived cache."""
