"""Prints the records of the table's stream in LocalStack as they arrive, one per line: `python dev/records.py`.

Stops at Ctrl-C, or after --seconds.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from localstack_client.session import Session

TABLE = "gco-inference-endpoints"
PAUSE = 0.5


def records(streams: Any, arn: str, iterators: dict[str, str | None]) -> Iterator[dict[str, Any]]:
    """The records since the last call. Advances `iterators`, which maps each shard to its iterator."""
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        name = shard["ShardId"]
        if name not in iterators:
            answer = streams.get_shard_iterator(StreamArn=arn, ShardId=name, ShardIteratorType="TRIM_HORIZON")
            iterators[name] = answer["ShardIterator"]
        if (place := iterators[name]) is not None:
            page = streams.get_records(ShardIterator=place)
            iterators[name] = page.get("NextShardIterator")
            yield from page["Records"]


def line(record: dict[str, Any]) -> str:
    """Sequence number, event name, endpoint and desired state of a record."""
    change = record["dynamodb"]
    name = change["Keys"]["endpoint_name"]["S"]
    desired = change.get("NewImage", {}).get("desired_state", {}).get("S", "-")
    return f"{change['SequenceNumber']}  {record['eventName']:6}  {name}  {desired}"


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time (default: at Ctrl-C)")
    ends = time.monotonic() + parser.parse_args().seconds
    session = Session()
    arn = session.client("dynamodb").describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    streams, iterators = session.client("dynamodbstreams"), dict[str, str | None]()
    with suppress(KeyboardInterrupt):
        while time.monotonic() < ends:
            for record in records(streams, arn, iterators):
                print(line(record), flush=True)
            time.sleep(PAUSE)


if __name__ == "__main__":
    main()
