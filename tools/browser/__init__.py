"""Finds and drives a real browser for the tests and screenshots of the status page."""
