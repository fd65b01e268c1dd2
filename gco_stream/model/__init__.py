"""Endpoints and their specs, validation, Kubernetes object records and the DynamoDB wire format."""
