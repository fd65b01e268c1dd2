"""aiobotocore clients for the table and its stream.

Credentials and endpoint URLs come from botocore's environment variables and files. botocore's retries are disabled,
because by default one call can take 25 s, which is longer than a lease lasts. Callers retry with their own backoff.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.parsers import AioResponseParserFactory
from aiobotocore.session import AioSession, get_session

from gco_stream import __version__
from gco_stream.aws.botocore_errors import aws_errors, configuration_errors
from gco_stream.aws.credentials import credentials_of
from gco_stream.aws.item_parser import ItemParserFactory

CONNECT_TIMEOUT: Final = 2.0
_PARSER_COMPONENT: Final = "response_parser_factory"
_CREDENTIALS_COMPONENT: Final = "credential_provider"


def client_config(*, timeout: float, connections: int) -> AioConfig:
    """Returns the configuration of a client.

    `timeout`: maximum seconds without receiving data. `connections`: maximum size of the connection pool.
    """
    return AioConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_TIMEOUT, timeout),
        read_timeout=timeout,
        max_pool_connections=connections,
        # Shown in CloudTrail. By default, botocore assembles the user agent from fifteen parts, twice per call.
        user_agent=f"gco-stream/{__version__}",
    )


def new_session() -> AioSession:
    """Creates a session with the fast item parser and with reloading credentials, which its clients share.

    See gco_stream.aws.item_parser and gco_stream.aws.credentials.
    """
    session = get_session()
    session.register_component(_CREDENTIALS_COMPONENT, credentials_of(session))
    session.register_component(_PARSER_COMPONENT, ItemParserFactory(AioResponseParserFactory()))
    return session


def table_client(
    region: str, *, timeout: float = 5.0, connections: int = 32, session: AioSession | None = None
) -> AbstractAsyncContextManager[Any]:
    """Returns a context manager that creates a "dynamodb" client for the table in `region`.

    Entering it raises AccessDenied or Rejected if botocore's configuration is invalid.
    """
    return _client("dynamodb", region, client_config(timeout=timeout, connections=connections), session)


def streams_client(
    region: str, *, timeout: float = 5.0, connections: int = 32, session: AioSession | None = None
) -> AbstractAsyncContextManager[Any]:
    """Returns a context manager that creates a "dynamodbstreams" client for the stream in `region`; see `table_client`.

    Reading the stream uses one connection per open shard.
    """
    return _client("dynamodbstreams", region, client_config(timeout=timeout, connections=connections), session)


@asynccontextmanager
async def _client(service: str, region: str, config: AioConfig, session: AioSession | None) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        with aws_errors(), configuration_errors():
            creation = (session or new_session()).create_client(service, region_name=region, config=config)
            client = await stack.enter_async_context(creation)
        yield client
