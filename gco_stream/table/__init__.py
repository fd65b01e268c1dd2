"""Reads and conditional writes of the DynamoDB table."""
