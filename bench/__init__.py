"""Benchmarks of the real controller against real servers: `python -m bench`, see docs/performance.md."""
