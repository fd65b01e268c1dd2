"""A table with the key `endpoint_name`: its items, and the stream of their changes."""

from typing import Any

from tests.stream.scripted.errors import invalid
from tests.stream.scripted.streams import KEY, Item, Stream


class Table:
    """`stream` is the latest stream and remains after it is disabled, so check `stream_on`."""

    def __init__(self, name: str, arn: str, created: float) -> None:
        self.name = name
        self.arn = arn
        self.created = created
        self.items: dict[str, Item] = {}
        self.stream: Stream | None = None
        self.stream_on = False

    def described(self) -> dict[str, Any]:
        """The table as shown by DescribeTable."""
        description: dict[str, Any] = {
            "TableName": self.name,
            "TableArn": self.arn,
            "TableStatus": "ACTIVE",
            "CreationDateTime": self.created,
            "ItemCount": len(self.items),
            "AttributeDefinitions": [{"AttributeName": KEY, "AttributeType": "S"}],
            "KeySchema": key_schema(),
        }
        if self.stream is not None:
            description |= {"LatestStreamArn": self.stream.arn, "LatestStreamLabel": self.stream.label}
            if self.stream_on:
                description["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": self.stream.view}
        return description

    def put(self, item: Item) -> None:
        self._change(_name(item), item)

    def update(self, key: Item, changes: dict[str, Any]) -> None:
        """`changes`: AttributeUpdates with the actions PUT and DELETE."""
        name = _name(key)
        item = dict(self.items.get(name, key))
        for attribute, change in changes.items():
            if change.get("Action", "PUT") == "PUT":
                item[attribute] = change["Value"]
            else:
                item.pop(attribute, None)
        self._change(name, item)

    def delete(self, key: Item) -> None:
        self._change(_name(key), None)

    def _change(self, name: str, new: Item | None) -> None:
        old = self.items.get(name)
        # A write that changes nothing creates no record.
        if old == new:
            return
        if new is None:
            del self.items[name]
        else:
            self.items[name] = new
        if self.stream is not None and self.stream_on:
            self.stream.write(name, old, new)


def key_schema() -> list[dict[str, str]]:
    return [{"AttributeName": KEY, "KeyType": "HASH"}]


def _name(item: Item) -> str:
    if KEY not in item:
        raise invalid("One of the required keys was not given a value")
    return str(item[KEY]["S"])
