"""General-purpose helpers: rate limiting, backoff, clocks and a short-lived cache."""
