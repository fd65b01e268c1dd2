"""DynamoDB Local: how it is run, and how its clients are made.

It takes any credentials, and listens on every interface: it has no option against that. One region is used for
everything, since with -sharedDb the region plays no part.
"""

from pathlib import Path
from typing import Any

from gco_stream.local.servers.processes import Recipe, listens

REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}

_MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"
_HEAP = "512m"


def recipe(java: Path, jars: Path, port: int, folder: Path) -> Recipe:
    """DynamoDB Local in memory on `port`."""
    return Recipe(
        name="dynamodb",
        # The serial collector and one tier of compilation: a quarter of the memory, and ready in half the time.
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
    """A boto3 client of the DynamoDB Local at `url`; `service` is dynamodb or dynamodbstreams."""
    import boto3  # noqa: PLC0415 - a fifth of a second, and most commands need no client

    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )
