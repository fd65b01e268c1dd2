"""Explains a plan to operators: the status of each object, and each field that differs."""
