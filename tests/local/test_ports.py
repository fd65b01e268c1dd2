import socket
from pathlib import Path

import pytest

from gco_stream.local import ports as module
from gco_stream.local.errors import StartError
from gco_stream.local.ports import Ports


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> range:
    """A range of three ports, free unless another program binds one of them."""
    monkeypatch.setattr(module, "_FIRST", 20990)
    monkeypatch.setattr(module, "_LAST", 20992)
    return range(20990, 20993)


def test_a_held_port_is_not_given_out_again_even_to_another_holder(tmp_path: Path, three: range) -> None:
    one, other = Ports(tmp_path), Ports(tmp_path)
    assert {one.reserve(), other.reserve(), one.reserve()} == set(three)
    with pytest.raises(StartError, match="no free port between 20990 and 20992"):
        other.reserve()
    one.release()
    assert other.reserve() in three
    other.release()


def test_a_port_that_is_in_use_is_skipped(tmp_path: Path, three: range) -> None:
    with socket.create_server(("127.0.0.1", three[1])):
        ports = Ports(tmp_path)
        assert {ports.reserve(), ports.reserve()} == {three[0], three[2]}
        ports.release()
