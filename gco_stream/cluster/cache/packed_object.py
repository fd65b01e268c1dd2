"""Compact records of cached objects: a few hundred bytes each, instead of tens of kilobytes as dicts.

10,000 endpoints have about 30,000 objects. Each record is a single bytes object, so the garbage collector has nothing
to traverse. It starts with the values that are read often (resourceVersion, flags, uid); the rest is deflated JSON. The
preset compression dictionary is a typical object of the same kind, so little more than names and numbers remains.
"""

import struct
import zlib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

import orjson

from gco_stream.cluster.api.objects import observe
from gco_stream.model import names
from gco_stream.model.objects import Kind, ObjectRef, ObservedObject, Ownership

_HEADER: Final = struct.Struct(">QB")
# Flags that can be read without inflating the record.
_DELETING, _APPLIED, _STAMPED, _LEGACY, _REPLICAS = 1, 2, 4, 8, 16
# How the gco.io/endpoint annotation is encoded in the flags: it is absent, equal to the object's name, the name without
# the Ingress prefix or the canary suffix, or any other value, which has to be read from the JSON.
_ENDPOINT_SHIFT: Final = 5
_ABSENT, _SAME, _INGRESS, _CANARY, _EXPLICIT = range(5)

_LEVEL: Final = 3  # measured with these dictionaries: smaller output than levels 1, 2 and 4, and no slower
_WINDOW: Final = 14  # 16 KiB, enough for the dictionary and an object; a larger window takes longer to set up
_MEMORY: Final = 6


def pack(observed: ObservedObject) -> bytes:
    """Packs an object into a record."""
    ownership = observed.ownership
    flags = (
        observed.deleting * _DELETING
        | ownership.applied * _APPLIED
        | ownership.stamped * _STAMPED
        | ownership.legacy * _LEGACY
        | ownership.replicas * _REPLICAS
        | _endpoint_code(observed) << _ENDPOINT_SHIFT
    )
    uid = observed.uid.encode()
    blob = _deflater(observed.ref.kind)
    return b"".join(
        (
            _HEADER.pack(int(observed.resource_version), flags),
            bytes((len(uid),)),
            uid,
            blob.compress(_content(observed)),
            blob.flush(),
        )
    )


def unpack(ref: ObjectRef, record: bytes) -> ObservedObject:
    """Unpacks a record into newly created values."""
    version, flags = _HEADER.unpack_from(record)
    start = _content_start(record)
    inflater = zlib.decompressobj(-_WINDOW, zdict=_DICTIONARIES[ref.kind])
    generation, labels, annotations, status, fields, life, spec = orjson.loads(inflater.decompress(record[start:]))
    return ObservedObject(
        ref=ref,
        uid=uid_of(record),
        resource_version=str(version),
        generation=generation,
        deleting=bool(flags & _DELETING),
        labels=labels,
        annotations=annotations,
        spec=spec,
        status=status,
        ownership=Ownership(
            applied=bool(flags & _APPLIED),
            stamped=bool(flags & _STAMPED),
            legacy=bool(flags & _LEGACY),
            replicas=bool(flags & _REPLICAS),
            fields=fields,
        ),
        created=life[0],
        deleting_since=life[1],
        finalizers=tuple(life[2:]),
    )


def uid_of(record: bytes) -> str:
    """Returns the uid of a record's object."""
    return record[_HEADER.size + 1 : _content_start(record)].decode()


def version_of(record: bytes) -> int:
    """Returns the resourceVersion of a record's object."""
    version, _ = _HEADER.unpack_from(record)
    return int(version)


def same_but_version(one: bytes, other: bytes) -> bool:
    """Returns whether two records differ at most in their resourceVersion, which planning does not read."""
    return one[8:] == other[8:]


def may_be_applied_by_us(record: bytes) -> bool:
    """Returns whether we applied the object and it has a gco.io/endpoint annotation, like `is_applied_by_us`."""
    flags = record[8]
    return bool(flags & _APPLIED) and flags >> _ENDPOINT_SHIFT != _ABSENT


def endpoint_of(ref: ObjectRef, record: bytes) -> str | None:
    """Returns the object's gco.io/endpoint annotation, or None if it has none."""
    match record[8] >> _ENDPOINT_SHIFT:
        case 0:
            return None
        case 1:
            return ref.name
        case 2:
            return ref.name.removeprefix(names.INGRESS_PREFIX)
        case 3:
            return ref.name.removesuffix(names.CANARY_SUFFIX)
        case _:
            return unpack(ref, record).endpoint


def _content_start(record: bytes) -> int:
    return _HEADER.size + 1 + record[_HEADER.size]


def _endpoint_code(observed: ObservedObject) -> int:
    endpoint, name = observed.endpoint, observed.ref.name
    if endpoint is None:
        return _ABSENT
    if endpoint == name:
        return _SAME
    if names.ingress_name(endpoint) == name:
        return _INGRESS
    return _CANARY if names.canary_name(endpoint) == name else _EXPLICIT


def _content(observed: ObservedObject) -> bytes:
    return orjson.dumps(
        (
            observed.generation,
            observed.labels,
            observed.annotations,
            observed.status,
            observed.ownership.fields,
            (observed.created, observed.deleting_since, *observed.finalizers),
            observed.spec,
        )
    )


def _deflater(kind: Kind) -> "zlib._Compress":
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, -_WINDOW, _MEMORY, zdict=_DICTIONARIES[kind])


def _load_dictionaries() -> Mapping[Kind, bytes]:
    typical = orjson.loads(files("gco_stream.cluster.cache").joinpath("typical.json").read_bytes())
    return MappingProxyType({kind: _content(observe(typical[kind], kind)) for kind in Kind})


_DICTIONARIES: Final = _load_dictionaries()
