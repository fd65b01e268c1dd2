"""Measurements of the real program on real parts: `python -m bench`, see docs/performance.md."""
