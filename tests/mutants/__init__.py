"""Deliberate violations of the invariants, and the tests that must detect each: `python -m tests.mutants`."""
