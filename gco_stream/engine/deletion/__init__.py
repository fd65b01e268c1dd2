"""Safeguards for deletions that no item requests: evidence, budget and approvals."""
