"""Manifests of an endpoint's objects, and the steps that create, adopt or update them."""
