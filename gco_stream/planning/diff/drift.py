"""Drift detection: compares the desired and the live state of an object without a call to the API server.

A server-side dry run gives the same answer but costs one call per object per resync. The comparison must be exact in
both directions: drift that it misses is never corrected, and a false positive makes the controller apply the object
again and again. Quantities are compared by value, because the API server normalizes them (1000m to 1, 1024Mi to 1Gi).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import orjson

from gco_stream.model import names
from gco_stream.model.objects import JsonObject, ObservedObject
from gco_stream.model.resources import value_of
from gco_stream.planning.diff.difference import Difference, Step, path_text
from gco_stream.planning.diff.merge_schema import KEY_DEFAULTS, MAP, SPEC_SCHEMAS, MergeSchema

__all__ = ["Difference", "differences", "in_observed_order", "same_quantity", "value_of"]


def same_quantity(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same quantity. A value that is not a quantity equals only itself."""
    if one == other:
        return True
    try:
        return value_of(one) == value_of(other)
    except ValueError:
        return False


# A linked list of (path of the parent, last step). The text form is built only for fields that differ.
_Path = tuple[Any, Step] | None
_Found = list[tuple[_Path, Any, Any]]

_SPEC: _Path = (None, "spec")
_METADATA: _Path = (None, "metadata")
# Written only with other changes, because a changed annotation alone increments the generation of a Deployment.
_NEVER_COMPARED = path_text(("metadata", "annotations", names.REVISION_ANNOTATION))


def differences(
    desired: JsonObject, observed: ObservedObject, *, exclude: Collection[str] = ()
) -> tuple[Difference, ...]:
    """Returns everything that an apply of `desired` would change; () means in sync.

    `desired` is the complete manifest of the apply. `observed` must have its labels, annotations and spec with equal
    values. Quantities are compared by value and lists by merge key; nulls are ignored. A field that our Apply entry
    owns but `desired` lacks is also a difference, because an apply removes it. Fields that the server or other field
    managers added are not differences.

    `exclude`: paths, in the form of `Difference.path`, that are ignored together with all fields below them.
    """
    found: _Found = []
    schema = SPEC_SCHEMAS[observed.ref.kind]
    metadata, spec = desired.get("metadata") or {}, desired.get("spec") or {}
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    _compare_map(labels, observed.labels, MAP, (_METADATA, "labels"), found)
    _compare_map(annotations, observed.annotations, MAP, (_METADATA, "annotations"), found)
    _compare_map(spec, observed.spec, schema, _SPEC, found)
    if owned := observed.ownership.fields:
        ours = owned.get("f:metadata", {})
        _removed_fields(ours.get("f:labels", {}), labels, observed.labels, MAP, (_METADATA, "labels"), found)
        _removed_fields(
            ours.get("f:annotations", {}), annotations, observed.annotations, MAP, (_METADATA, "annotations"), found
        )
        _removed_fields(owned.get("f:spec", {}), spec, observed.spec, schema, _SPEC, found)
    if not found:
        return ()
    result = [
        Difference(path_text(_steps(path)), observed_value, desired_value)
        for path, observed_value, desired_value in found
    ]
    return tuple(one for one in result if not _within(one.path, (_NEVER_COMPARED, *exclude)))


def in_observed_order(desired: JsonObject, observed: ObservedObject) -> JsonObject:
    """Returns the manifest with its keyed lists in the order of the live object. New items come last.

    Variables, ports or volumes in a different order would be a different pod template, which restarts all pods.
    `desired` is not modified; the result shares its unchanged parts.
    """
    spec = desired.get("spec")
    if not spec:
        return desired
    return {**desired, "spec": _ordered_map(spec, observed.spec, SPEC_SCHEMAS[observed.ref.kind])}


def _compare_map(
    desired: Mapping[str, Any], observed: Mapping[str, Any], schema: MergeSchema, path: _Path, found: _Found
) -> None:
    fields, other, free_names = schema.fields, schema.element, schema.elements is not None
    for name, desired_value in desired.items():
        observed_value = observed.get(name)
        if desired_value == observed_value or desired_value is None:
            continue
        if observed_value is None:
            if free_names or not _is_empty(desired_value):
                _absent(desired_value, fields.get(name, other), (path, name), found)
        else:
            _compare(desired_value, observed_value, fields.get(name, other), (path, name), found)
    if schema.atomic:
        for name, observed_value in observed.items():
            if desired.get(name) is None and (free_names or not _is_empty(observed_value)):
                found.append(((path, name), observed_value, None))


def _compare(desired: Any, observed: Any, schema: MergeSchema, path: _Path, found: _Found) -> None:
    if isinstance(desired, dict) and isinstance(observed, dict):
        _compare_map(desired, observed, schema, path, found)
    elif isinstance(desired, list | tuple) and isinstance(observed, list):
        if schema.keys:
            _compare_items(desired, observed, schema, path, found)
        else:
            _compare_positions(desired, observed, schema, path, found)
    elif not (schema.quantity and same_quantity(desired, observed)):
        found.append((path, observed, desired))


def _compare_items(
    desired: Sequence[JsonObject], observed: Sequence[JsonObject], schema: MergeSchema, path: _Path, found: _Found
) -> None:
    keys = schema.keys
    live = {_identity(item, keys): item for item in observed}
    for item in desired:
        identity = _identity(item, keys)
        other = live.get(identity)
        if item == other:
            continue
        if other is None:
            found.append(((path, identity), None, item))
        else:
            _compare_map(item, other, schema, (path, identity), found)


def _compare_positions(
    desired: Sequence[Any], observed: Sequence[Any], schema: MergeSchema, path: _Path, found: _Found
) -> None:
    if len(desired) == len(observed) and all(isinstance(item, dict) for item in desired):
        for position, (item, other) in enumerate(zip(desired, observed, strict=True)):
            _compare(item, other, schema, (path, position), found)
    elif list(desired) != observed:
        found.append((path, observed, desired))


def _absent(desired: Any, schema: MergeSchema, path: _Path, found: _Found) -> None:
    """Adds the differences for a field that the live object lacks: one for each list item or map entry."""
    if schema.keys:
        _compare_items(desired, (), schema, path, found)
    elif schema.elements is not None and not schema.atomic:
        _compare_map(desired, {}, schema, path, found)
    else:
        found.append((path, None, desired))


def _removed_fields(
    owned: Mapping[str, Any],
    desired: Mapping[str, Any],
    observed: Mapping[str, Any],
    schema: MergeSchema,
    path: _Path,
    found: _Found,
) -> None:
    """Adds the live fields that are in `owned` but not in `desired`.

    `owned` has the form of fieldsV1: the key `f:` stands for a field, `k:` for a list item with these merge keys, and
    `.` for the value itself.
    """
    fields, other, free_names = schema.fields, schema.element, schema.elements is not None
    for key, below in owned.items():
        name = key[2:]
        desired_value = desired.get(name)
        if desired_value is not None and not below:
            continue
        observed_value = observed.get(name)
        if observed_value is None:
            continue
        inner = fields.get(name, other)
        if below and isinstance(observed_value, list):
            _removed_items(below, desired_value or (), observed_value, inner, (path, name), found)
        elif below and isinstance(observed_value, dict) and (desired_value is not None or inner.elements is not None):
            _removed_fields(below, desired_value or {}, observed_value, inner, (path, name), found)
        elif desired_value is None and (free_names or not _is_empty(observed_value)):
            found.append(((path, name), observed_value, None))


def _removed_items(
    owned: Mapping[str, Any],
    desired: Sequence[Any],
    observed: Sequence[Any],
    schema: MergeSchema,
    path: _Path,
    found: _Found,
) -> None:
    keys = schema.keys
    desired_value = {_identity(item, keys): item for item in desired}
    live = {_identity(item, keys): item for item in observed}
    for key, below in owned.items():
        if not key.startswith("k:"):
            continue
        identity = _identity(orjson.loads(key[2:]), keys)
        observed_value = live.get(identity)
        if observed_value is None:
            continue
        item = desired_value.get(identity)
        if item is None:
            found.append(((path, identity), observed_value, None))
        else:
            _removed_fields(below, item, observed_value, schema, (path, identity), found)


def _ordered_map(desired: Mapping[str, Any], observed: Mapping[str, Any], schema: MergeSchema) -> JsonObject:
    ordered = dict(desired)
    for name, inner in schema.fields.items():
        desired_value, observed_value = desired.get(name), observed.get(name)
        if not desired_value or not observed_value:
            continue
        if inner.keys:
            ordered[name] = _ordered_items(desired_value, observed_value, inner)
        elif inner.fields:
            ordered[name] = _ordered_map(desired_value, observed_value, inner)
    return ordered


def _ordered_items(
    desired: Sequence[JsonObject], observed: Sequence[JsonObject], schema: MergeSchema
) -> list[JsonObject]:
    keys = schema.keys
    live = {_identity(item, keys): (position, item) for position, item in enumerate(observed)}
    new: tuple[int, JsonObject] = (len(observed), {})
    placed = [(*live.get(_identity(item, keys), new), item) for item in desired]
    placed.sort(key=lambda one: one[0])
    return [_ordered_map(item, observed_value, schema) if schema.fields else item for _, observed_value, item in placed]


def _identity(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple([item.get(key) or KEY_DEFAULTS.get(key) for key in keys])


def _is_empty(value: Any) -> bool:
    """Whether a value is equivalent to an absent one: null, "", [], {} or a map of only those, but not 0 or false."""
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
