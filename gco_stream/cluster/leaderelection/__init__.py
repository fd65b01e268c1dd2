"""Leader election with a Kubernetes Lease."""
