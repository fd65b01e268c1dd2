"""Runs DynamoDB Local and creates clients for it.

It accepts any credentials. It listens on all interfaces and has no option to restrict that. A single region is used,
because -sharedDb ignores the region.
"""

from pathlib import Path
from typing import Any

from gco_stream.local.servers.processes import Recipe, listens

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
_HEAP = "512m"


def recipe(java: Path, jars: Path, port: int, folder: Path) -> Recipe:
    """DynamoDB Local on `port`, with its data in memory."""
    return Recipe(
        name="dynamodb",
        # The serial collector and a single compilation tier need a quarter of the memory and half the start time.
        command=[
            *(java, f"-Xmx{_HEAP}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-cp", f"{jars}/*", _MAIN),
            *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)),
        ],
        folder=folder,
        port=port,
        ready=lambda: listens(port),
    )


def client(url: str, service: str = "dynamodb") -> Any:
    """boto3 client for the DynamoDB Local at `url`. `service` is dynamodb or dynamodbstreams."""
    import boto3  # noqa: PLC0415 - takes 0.2 s to import, and most commands need no client

    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
