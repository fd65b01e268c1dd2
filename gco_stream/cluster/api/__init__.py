"""The Kubernetes API client: configuration, requests, errors and object conversion."""
