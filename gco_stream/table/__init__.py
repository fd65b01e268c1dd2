"""Access to the DynamoDB table: creation, reads and conditional writes."""
