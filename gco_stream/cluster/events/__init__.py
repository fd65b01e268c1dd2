"""Writes and reads Kubernetes Events."""
