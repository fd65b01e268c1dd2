"""gco-stream: a Kubernetes controller that runs AI inference endpoints on EKS from one DynamoDB table."""

__version__ = "0.1.0"
