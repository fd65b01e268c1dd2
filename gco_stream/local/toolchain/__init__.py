"""Finds or builds the binaries of the local control plane and of the tests."""
