"""Data types: endpoints and their specs, live Kubernetes objects, reason codes and the DynamoDB wire format."""
