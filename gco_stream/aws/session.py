"""The AWS clients of the running controller: table and stream, by aiobotocore.

Credentials and endpoints come by botocore's own variables and files. The SDK's retries are off: its default may hide
25 s in one call, longer than a lease; whoever calls backs off by himself.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.parsers import AioResponseParserFactory
from aiobotocore.session import AioSession, get_session

from gco_stream import __version__
from gco_stream.aws.botocore_errors import configuration_errors, table_errors
from gco_stream.aws.credentials import credentials_of
from gco_stream.aws.item_parser import ItemParserFactory

CONNECT_TIMEOUT: Final = 2.0
_PARSER_COMPONENT: Final = "response_parser_factory"
_CREDENTIALS_COMPONENT: Final = "credential_provider"


def client_config(*, timeout: float, connections: int) -> AioConfig:
    """The configuration of every client. `timeout`: seconds between two bytes of an answer."""
    return AioConfig(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_TIMEOUT, timeout),
        read_timeout=timeout,
        max_pool_connections=connections,
        # The name in CloudTrail; botocore's own is put together anew, of fifteen parts, twice a call.
        user_agent=f"gco-stream/{__version__}",
    )


def new_session() -> AioSession:
    """A session whose clients share credentials that may come later (see gco_stream.aws.credentials).

    And they parse items fast (see gco_stream.aws.item_parser).
    """
    session = get_session()
    session.register_component(_CREDENTIALS_COMPONENT, credentials_of(session))
    session.register_component(_PARSER_COMPONENT, ItemParserFactory(AioResponseParserFactory()))
    return session


def table_client(
    region: str, *, timeout: float = 5.0, connections: int = 32, session: AioSession | None = None
) -> AbstractAsyncContextManager[Any]:
    """The "dynamodb" client of the table in `region`, to be entered.

    Entering raises TableAccessDenied or TableRejected where botocore's configuration cannot be used.
    """
    return _client("dynamodb", region, client_config(timeout=timeout, connections=connections), session)


def streams_client(
    region: str, *, timeout: float = 5.0, connections: int = 32, session: AioSession | None = None
) -> AbstractAsyncContextManager[Any]:
    """The "dynamodbstreams" client of the stream in `region`, as `table_client`; one connection an open shard."""
    return _client("dynamodbstreams", region, client_config(timeout=timeout, connections=connections), session)


@asynccontextmanager
async def _client(service: str, region: str, config: AioConfig, session: AioSession | None) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:
        with table_errors(), configuration_errors():
            creation = (session or new_session()).create_client(service, region_name=region, config=config)
            client = await stack.enter_async_context(creation)
        yield client
