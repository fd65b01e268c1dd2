"""Whether an object is as it should be, without asking the API server.

A server-side dry run would tell as well, at the price of a call for each object and resync; this comparison makes
"in sync" cost nothing. It errs on neither side: what it misses is never corrected, and what it invents is applied
again and again.

Kubernetes quantities compared by value, because the API server rewrites them: 1000m is stored as 1, 1024Mi as 1Gi.

A quantity that is compared by its text alone looks like drift for ever.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson

from gco_stream.model import names
from gco_stream.model.objects import JsonObject, ObservedObject
from gco_stream.model.quantities import value_of
from gco_stream.planning.diff.difference import Difference, Step, path_text
from gco_stream.planning.diff.merge_schema import ENTRIES, KEY_DEFAULTS, SPECS, Shape

__all__ = ["Difference", "differences", "in_observed_order", "same_quantity", "value_of"]


def same_quantity(one: Any, other: Any) -> bool:
    """Whether two JSON values are one quantity. What is not a quantity equals only itself."""
    if one == other:
        return True
    try:
        return value_of(one) == value_of(other)
    except ValueError:
        return False


# A path under construction is linked backwards, (path to the parent, step): nothing is formatted while all is well.
_Path = tuple[Any, Step] | None
_Found = list[tuple[_Path, Any, Any]]

_SPEC: _Path = (None, "spec")
_METADATA: _Path = (None, "metadata")
# Rewritten with every other change and never a reason for one: any annotation write raises a Deployment's generation.
_NEVER_COMPARED = path_text(("metadata", "annotations", names.REVISION_ANNOTATION))


def differences(
    desired: JsonObject, observed: ObservedObject, *, exclude: Collection[str] = ()
) -> tuple[Difference, ...]:
    """Everything that an apply of `desired` would change; () means in sync.

    `desired` is the whole manifest as it would be applied. Its labels, annotations and spec must stand in `observed`
    with equal values, quantities by value and lists by merge key; a null in it is not a wish. Beyond these, what our
    Apply entry owns and `desired` no longer has is a difference with `desired` None, since an apply takes it away.
    Fields that the server or others added are none.

    `exclude`: paths, as in Difference.path, of which neither they nor anything below them counts: fields that are
    somebody else's by policy.
    """
    found: _Found = []
    shape = SPECS[observed.ref.kind]
    metadata, spec = desired.get("metadata") or {}, desired.get("spec") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    _compare_map(labels, observed.labels, ENTRIES, (_METADATA, "labels"), found)
    _compare_map(annotations, observed.annotations, ENTRIES, (_METADATA, "annotations"), found)
    _compare_map(spec, observed.spec, shape, _SPEC, found)
    if owned := observed.ownership.fields:
        ours = owned.get("f:metadata", {})
        _dropped(ours.get("f:labels", {}), labels, observed.labels, ENTRIES, (_METADATA, "labels"), found)
        _dropped(
            ours.get("f:annotations", {}), annotations, observed.annotations, ENTRIES, (_METADATA, "annotations"), found
        )
        _dropped(owned.get("f:spec", {}), spec, observed.spec, shape, _SPEC, found)
    if not found:
        return ()
    every = [Difference(path_text(_steps(path)), there, wanted) for path, there, wanted in found]
    return tuple(one for one in every if not _within(one.path, (_NEVER_COMPARED, *exclude)))


def in_observed_order(desired: JsonObject, observed: ObservedObject) -> JsonObject:
    """The manifest with every list that merges by key in the order that stands; what is new comes last.

    The same variables, ports or volumes in another order are another pod template: a new ReplicaSet, and every pod
    restarted for nothing. `desired` is not changed; the result shares its unchanged parts.
    """
    spec = desired.get("spec")
    if not spec:
        return desired
    return {**desired, "spec": _ordered_map(spec, observed.spec, SPECS[observed.ref.kind])}


def _compare_map(
    desired: Mapping[str, Any], observed: Mapping[str, Any], shape: Shape, path: _Path, found: _Found
) -> None:
    fields, other, free_names = shape.fields, shape.other, shape.entries is not None
    for name, wanted in desired.items():
        there = observed.get(name)
        if wanted == there or wanted is None:
            continue
        if there is None:
            if free_names or not _is_empty(wanted):
                _missing(wanted, fields.get(name, other), (path, name), found)
        else:
            _compare(wanted, there, fields.get(name, other), (path, name), found)
    if shape.whole:
        for name, there in observed.items():
            if desired.get(name) is None and (free_names or not _is_empty(there)):
                found.append(((path, name), there, None))


def _compare(wanted: Any, there: Any, shape: Shape, path: _Path, found: _Found) -> None:
    if isinstance(wanted, dict) and isinstance(there, dict):
        _compare_map(wanted, there, shape, path, found)
    elif isinstance(wanted, list | tuple) and isinstance(there, list):
        if shape.keys:
            _compare_items(wanted, there, shape, path, found)
        else:
            _compare_positions(wanted, there, shape, path, found)
    elif not (shape.quantity and same_quantity(wanted, there)):
        found.append((path, there, wanted))


def _compare_items(
    wanted: Sequence[JsonObject], there: Sequence[JsonObject], shape: Shape, path: _Path, found: _Found
) -> None:
    keys = shape.keys
    standing = {_identity(item, keys): item for item in there}
    for item in wanted:
        identity = _identity(item, keys)
        other = standing.get(identity)
        if item == other:
            continue
        if other is None:
            found.append(((path, identity), None, item))
        else:
            _compare_map(item, other, shape, (path, identity), found)


def _compare_positions(wanted: Sequence[Any], there: Sequence[Any], shape: Shape, path: _Path, found: _Found) -> None:
    if len(wanted) == len(there) and all(isinstance(item, dict) for item in wanted):
        for position, (item, other) in enumerate(zip(wanted, there, strict=True)):
            _compare(item, other, shape, (path, position), found)
    elif list(wanted) != there:
        found.append((path, there, wanted))


def _missing(wanted: Any, shape: Shape, path: _Path, found: _Found) -> None:
    """A field that is not there: item by item where it has items, as if some of them were missing."""
    if shape.keys:
        _compare_items(wanted, (), shape, path, found)
    elif shape.entries is not None and not shape.whole:
        _compare_map(wanted, {}, shape, path, found)
    else:
        found.append((path, None, wanted))


def _dropped(
    owned: Mapping[str, Any],
    desired: Mapping[str, Any],
    observed: Mapping[str, Any],
    shape: Shape,
    path: _Path,
    found: _Found,
) -> None:
    """What `owned` (fieldsV1: `f:` a field, `k:` an item by its keys, `.` the thing itself) has and desired has not."""
    fields, other, free_names = shape.fields, shape.other, shape.entries is not None
    for key, below in owned.items():
        name = key[2:]
        wanted = desired.get(name)
        if wanted is not None and not below:
            continue
        there = observed.get(name)
        if there is None:
            continue
        inner = fields.get(name, other)
        if below and isinstance(there, list):
            _dropped_items(below, wanted or (), there, inner, (path, name), found)
        elif below and isinstance(there, dict) and (wanted is not None or inner.entries is not None):
            _dropped(below, wanted or {}, there, inner, (path, name), found)
        elif wanted is None and (free_names or not _is_empty(there)):
            found.append(((path, name), there, None))


def _dropped_items(
    owned: Mapping[str, Any],
    desired: Sequence[Any],
    observed: Sequence[Any],
    shape: Shape,
    path: _Path,
    found: _Found,
) -> None:
    keys = shape.keys
    wanted = {_identity(item, keys): item for item in desired}
    standing = {_identity(item, keys): item for item in observed}
    for key, below in owned.items():
        if not key.startswith("k:"):
            continue
        identity = _identity(orjson.loads(key[2:]), keys)
        there = standing.get(identity)
        if there is None:
            continue
        item = wanted.get(identity)
        if item is None:
            found.append(((path, identity), there, None))
        else:
            _dropped(below, item, there, shape, (path, identity), found)


def _ordered_map(desired: Mapping[str, Any], observed: Mapping[str, Any], shape: Shape) -> JsonObject:
    ordered = dict(desired)
    for name, inner in shape.fields.items():
        wanted, there = desired.get(name), observed.get(name)
        if not wanted or not there:
            continue
        if inner.keys:
            ordered[name] = _ordered_items(wanted, there, inner)
        elif inner.fields:
            ordered[name] = _ordered_map(wanted, there, inner)
    return ordered


def _ordered_items(desired: Sequence[JsonObject], observed: Sequence[JsonObject], shape: Shape) -> list[JsonObject]:
    keys = shape.keys
    standing = {_identity(item, keys): (position, item) for position, item in enumerate(observed)}
    new: tuple[int, JsonObject] = (len(observed), {})
    placed = [(*standing.get(_identity(item, keys), new), item) for item in desired]
    placed.sort(key=lambda one: one[0])
    return [_ordered_map(item, there, shape) if shape.fields else item for _, there, item in placed]


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple([item.get(key) or KEY_DEFAULTS.get(key) for key in keys])


def _is_empty(value: Any) -> bool:
    """Whether the value says no more than its absence: null, "", [], {}, a map of nothing else. 0 and false do."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value is None or value in ("", [], ())


def _steps(path: _Path) -> Iterable[Step]:
    steps: list[Step] = []
    while path is not None:
        path, step = path
        steps.append(step)
    return reversed(steps)


def _within(path: str, outer: Iterable[str]) -> bool:
    return any(path == prefix or path.startswith((prefix + ".", prefix + "[")) for prefix in outer)
