"""Hashes that outlast a restart and a change of Python: the same JSON value gives the same text everywhere."""

import hashlib
from typing import Any

import orjson

_LENGTH = 32


def canonical_hash(value: Any) -> str:
    """The first 32 hex digits of the SHA-256 of a JSON value, whatever the order of its maps.

    Lists and tuples count as the same. Raises TypeError for what JSON does not have.
    """
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_LENGTH]
