"""gco-stream: AI inference endpoints on EKS, driven by the stream of one DynamoDB table."""

from importlib.metadata import version

__version__ = version("gco-stream")
