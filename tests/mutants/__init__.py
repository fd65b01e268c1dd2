"""Deliberate breaks of the invariants, and the tests that must notice each: `python -m tests.mutants`."""
