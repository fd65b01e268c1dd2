"""Recorder and reader of Kubernetes Events."""
