"""The boto3 client of the command line. Importing it costs a third of a second, so commands import it when they run."""

from typing import Any

import boto3
from botocore.config import Config

from gco_stream.table.answers import configuration_errors, table_errors


def dynamodb(region: str, *, attempts: int = 3, timeout: float = 8) -> Any:
    """A boto3 "dynamodb" client. `timeout`: seconds between two bytes of an answer, less to connect.

    Credentials and endpoint come by botocore's own variables. Raises TableError where it cannot be made.
    """
    config = Config(
        connect_timeout=min(3, timeout),
        read_timeout=timeout,
        retries={"total_max_attempts": attempts, "mode": "standard"},
    )
    with table_errors(), configuration_errors():
        return boto3.session.Session().client("dynamodb", region_name=region, config=config)
