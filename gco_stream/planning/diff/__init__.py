"""Compares desired manifests with live objects."""
