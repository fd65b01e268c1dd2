"""Reads DynamoDB Streams: shard lineage, one reader per shard, and the consumer."""
