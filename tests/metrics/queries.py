"""Extracts the metrics, selected labels and grouping labels from PromQL expressions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

ADDED_BY_PROMETHEUS = {"cluster", "namespace", "job", "pod", "instance", "le"}
_SELECTOR = re.compile(
    r"\b((?:gco_stream|workqueue|controller_runtime|rest_client|leader_election|process)_\w+)(\{[^}]*\})?"
)
_MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")


@dataclass(frozen=True)
class Selector:
    """A selector. `values` has the labels that must equal a value."""

    metric: str
    labels: frozenset[str]
    values: tuple[tuple[str, str], ...]


def selectors(expr: str) -> Iterator[Selector]:
    for metric, braces in _SELECTOR.findall(expr):
        matchers = [one for one in _MATCHER.findall(braces) if one[0] not in ADDED_BY_PROMETHEUS]
        values = tuple((label, value) for label, sign, value in matchers if sign == "=")
        yield Selector(metric, frozenset(label for label, _, _ in matchers), values)


def groupings(expr: str) -> set[str]:
    found = {label.strip() for group in _GROUPING.findall(expr) for label in group.split(",")}
    return found - ADDED_BY_PROMETHEUS
