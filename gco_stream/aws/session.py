"""The aiobotocore clients that the running controller uses for the table and its stream.

Credentials and endpoints come from botocore's own variables and files. The SDK's retries are disabled: by default one
call can take 25 s, longer than a lease lasts. Callers back off on their own.
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
    """Configuration of every client. `timeout`: maximum seconds between two bytes of a response."""
    return AioConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_TIMEOUT, timeout),
        read_timeout=timeout,
        max_pool_connections=connections,
        # Name in CloudTrail. botocore would assemble its own from fifteen parts, twice per call.
        user_agent=f"gco-stream/{__version__}",
    )


def new_session() -> AioSession:
    """Creates a session that parses items fast and whose clients share credentials that may appear later.

    See gco_stream.aws.item_parser and gco_stream.aws.credentials.
    """
    session = get_session()
    session.register_component(_CREDENTIALS_COMPONENT, credentials_of(session))
    session.register_component(_PARSER_COMPONENT, ItemParserFactory(AioResponseParserFactory()))
    return session


def table_client(
    region: str, *, timeout: float = 5.0, connections: int = 32, session: AioSession | None = None
) -> AbstractAsyncContextManager[Any]:
    """Context manager of the "dynamodb" client for the table in `region`.

    Entering it raises AccessDenied or Rejected if botocore's configuration is invalid.
    """
    return _client("dynamodb", region, client_config(timeout=timeout, connections=connections), session)


def streams_client(
    region: str, *, timeout: float = 5.0, connections: int = 32, session: AioSession | None = None
) -> AbstractAsyncContextManager[Any]:
    """Context manager of the "dynamodbstreams" client for the stream in `region`; see `table_client`.

    Reading uses one connection per open shard.
    """
    return _client("dynamodbstreams", region, client_config(timeout=timeout, connections=connections), session)


@asynccontextmanager
async def _client(service: str, region: str, config: AioConfig, session: AioSession | None) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        with aws_errors(), configuration_errors():
            creation = (session or new_session()).create_client(service, region_name=region, config=config)
            client = await stack.enter_async_context(creation)
        yield client
