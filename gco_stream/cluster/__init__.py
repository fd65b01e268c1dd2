"""Kubernetes: JSON client, informer cache, apply and delete, lease election."""
