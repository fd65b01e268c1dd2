"""DynamoDB Streams: shard lineage, the reader of one shard, the consumer of all."""
