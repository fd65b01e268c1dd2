"""Builds the manifests of each resource and decides how to create, adopt or update it."""
