"""Validation of items: converts pydantic's errors into problems, and applies the rules that involve several fields.

These rules are applied only if each field is valid by itself.
"""

import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gco_stream.model import names
from gco_stream.model.item.field_types import is_url_path
from gco_stream.model.item.problem import Problem
from gco_stream.model.item.spec import ROOT_PATH, EndpointSpec
from gco_stream.model.resources import resource_problems
from gco_stream.model.text import truncate

_Loc = Sequence[int | str]
_ENV = "env"


def problems_of(error: ValidationError, model: type[BaseModel], prefix: str) -> tuple[Problem, ...]:
    """Converts a validation error of `model` into problems. `prefix` is prepended to the path of each problem."""
    return tuple(_problem(detail, model, prefix) for detail in error.errors())


def _problem(detail: Any, model: type[BaseModel], prefix: str) -> Problem:
    loc: _Loc = detail["loc"]
    path = (prefix + _path(loc)).rstrip(".")
    message = str(detail["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    allowed = _allowed(model, loc) or message
    if loc[0] == _ENV:
        # A value of env may be a secret, and problems are logged and written to the table.
        which = "name" if loc[-1] == "[key]" else "value"
        return Problem(path, None, allowed, complaint=f"invalid {which}: must be {allowed}")
    if detail["type"] == "missing":
        return Problem(path, None, allowed)
    if detail["type"] == "extra_forbidden":
        return Problem(path, detail["input"], allowed, complaint="unknown field")
    if detail["type"] == "value_error" and isinstance(detail["input"], dict | frozenset | set):
        # The rule concerns the value as a whole.
        return Problem(path, detail["input"], allowed, complaint=message)
    return Problem(path, detail["input"], allowed)


def _path(loc: _Loc) -> str:
    path = ""
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":
            # A common mistake is NAME=value as the key. The part after = may be a secret.
            name = truncate(step.partition("=")[0] if loc[0] == _ENV else step)
            path += f".{name}" if path else name
    return path


def _allowed(annotation: Any, loc: _Loc) -> str:
    """The description of the innermost type on the path `loc` that has one; "" if there is none."""
    own = ""
    if get_origin(annotation) is Annotated:
        annotation, *metadata = get_args(annotation)
        own = next((m.description for m in metadata if isinstance(m, FieldInfo) and m.description), "")
    deeper = _step_down(annotation, loc)
    return deeper or own


def _step_down(annotation: Any, loc: _Loc) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return next(filter(None, (_allowed(argument, loc) for argument in arguments)), "")
    if not loc:
        return ""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _of_field(annotation, loc)
    if origin is dict:
        is_key = len(loc) > 1 and loc[1] == "[key]"
        return _allowed(arguments[0 if is_key else 1], loc[2:] if is_key else loc[1:])
    if origin in {tuple, frozenset, list}:
        return _allowed(arguments[0], loc[1:])
    return ""


def _of_field(model: type[BaseModel], loc: _Loc) -> str:
    for name, field in model.model_fields.items():
        if loc[0] in {name, field.alias}:
            nested = _allowed(field.annotation, loc[1:])
            inner = next((m.description for m in field.metadata if isinstance(m, FieldInfo)), None)
            return nested or field.description or inner or ""
    return ""


_PATHS = "/inference"


def canary_problem(name: str, spec: EndpointSpec) -> Problem | None:
    """Returns the problem if the name of the endpoint leaves no room for the names of the canary's objects."""
    if spec.canary is not None and not names.is_endpoint_name(name, with_canary=True):
        return Problem("endpoint_name", name, names.NAME_RULE)
    return None


def spec_problems(spec: EndpointSpec) -> Iterator[Problem]:
    """Yields the problems of a spec whose fields are valid by themselves."""
    yield from resource_problems(spec.resources.requests, spec.resources.limits, spec.device)
    root = spec.own_root_path
    if root is not None and root.startswith("/") and not is_url_path(root):
        # The path of the health checks starts with the root path.
        yield Problem(f"spec.args: {ROOT_PATH}", root, "a URL path that starts with '/' and has no query")


def path_problem(name: str, path: str) -> Problem | None:
    """Returns the problem if the endpoint must not use this path, otherwise None.

    All endpoints of a region share one load balancer, which applies the first rule that matches a request. The path
    /inference/<name> and all paths below it are therefore reserved for the endpoint with that name. No endpoint may use
    / or /inference.
    """
    segments = _segments(path)
    allowed = f"{_PATHS}/{truncate(name)}, a path below it, or a path outside of {_PATHS}"
    if is_reserved_path(path) and segments[1:2] != [name]:
        return Problem("ingress_path", path, allowed)
    return None


def is_reserved_path(path: str) -> bool:
    """Whether the path is /, /inference or below it, so that at most one endpoint may use it."""
    return _segments(path)[:1] in ([], [_PATHS.removeprefix("/")])


def _segments(path: str) -> list[str]:
    return path.rstrip("/").split("/")[1:]
