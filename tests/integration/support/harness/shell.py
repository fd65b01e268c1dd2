"""Commands that run in this process, and the items that they change."""

from pathlib import Path
from typing import Any

import pytest

from gco_stream.cli.main import main
from gco_stream.local.pytest_plugin import Table
from gco_stream.model import wire
from tests.support.items import item

HERE = "us-east-1"


class Shell:
    """Runs commands in this process; `out` and `err` hold the output of the last one."""

    def __init__(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        self._capsys = capsys
        self._folder = tmp_path
        self.out = ""
        self.err = ""

    def __call__(self, line: str, *more: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main([*line.split(), *more])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        assert isinstance(ended.value.code, int)
        return ended.value.code

    def put(self, text: str, *options: str) -> int:
        file = self._folder / "endpoints.yaml"
        file.write_text(text)
        return self("endpoint put -f", str(file), *options)


def stored(table: Table, name: str = "chat") -> dict[str, Any] | None:
    found = table.client.get_item(TableName=table.name, Key={"endpoint_name": {"S": name}}, ConsistentRead=True)
    return wire.decode(found["Item"]) if "Item" in found else None


def put(table: Table, **attributes: Any) -> None:
    table.client.put_item(TableName=table.name, Item=wire.encode(item(**attributes)))
