"""Stable hashes of JSON values, independent of the process and the Python version."""

import hashlib
from typing import Any

import orjson

_LENGTH = 32


def canonical_hash(value: Any) -> str:
    """The first 32 hex digits of the SHA-256 of a JSON value, independent of the key order of maps.

    Lists and tuples are equivalent. Raises TypeError for values that JSON does not have.
    """
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_LENGTH]
