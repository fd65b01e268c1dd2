"""Creates the endpoint table and its stream when LocalStack is ready. Leaves an existing table unchanged.

LocalStack runs this file in its own process (/etc/localstack/init/ready.d), so it imports nothing from gco-stream.
"""

import os

import boto3

# LocalStack's own port: 4566 in a container, any port outside one.
port = os.environ.get("GATEWAY_LISTEN", "4566").rpartition(":")[2]
region = os.environ.get("REGION", "us-east-1")
table = os.environ.get("INFERENCE_ENDPOINTS_TABLE_NAME", "gco-inference-endpoints")

client = boto3.client(
    "dynamodb",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name=region,
    aws_access_key_id="test",
    aws_secret_access_key="test",  # noqa: S106 - LocalStack takes any
)
try:
    client.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "endpoint_name", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "endpoint_name", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
except client.exceptions.ResourceInUseException:
    print(f"table {table} already exists")
else:
    client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    print(f"created table {table} with a stream")
