"""Hashes of JSON values that are the same in every process and Python version."""

import hashlib
from typing import Any

import orjson

_LENGTH = 32


def canonical_hash(value: Any) -> str:
    """Returns the first 32 hex digits of the SHA-256 of a JSON value. The key order of maps does not matter.

    Lists and tuples are equivalent. Raises TypeError for a value that cannot be serialized.
    """
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_LENGTH]
