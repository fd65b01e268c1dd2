"""gco-stream: AI inference endpoints on EKS, driven by the stream of one DynamoDB table."""

__version__ = "0.1.0"
