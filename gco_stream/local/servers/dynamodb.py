"""Runs DynamoDB Local and creates clients for it.

DynamoDB Local accepts any credentials. It listens on all interfaces and has no option to restrict that. All clients use
one region, because the region has no effect with -sharedDb.
"""

from pathlib import Path
from typing import Any

from gco_stream.local.servers.processes import Recipe, listens

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
_HEAP = "512m"


def recipe(java: Path, jars: Path, port: int, folder: Path) -> Recipe:
    """Returns the recipe for DynamoDB Local on `port`, with its data in memory."""
    return Recipe(
        name="dynamodb",
        # The serial collector and tier 1 compilation reduce memory use to a quarter and the start time to half.
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
    """Returns a boto3 client for DynamoDB Local at `url`. `service` is dynamodb or dynamodbstreams."""
    import boto3  # noqa: PLC0415 - takes 0.2 s to import, and most commands need no client

    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
