"""DynamoDB: items in and out, the scan, and the conditional writes."""
