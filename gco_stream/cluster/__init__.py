"""Access to the Kubernetes cluster: API client, cache, leader election, Events and writes."""
