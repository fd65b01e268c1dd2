"""Consumer of a DynamoDB stream: the API client, the shard lineage, and one reader per shard."""
