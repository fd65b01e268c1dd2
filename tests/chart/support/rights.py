"""Permissions that rendered Roles grant."""

from collections.abc import Iterator

from gco_stream.cluster.permissions import Permission
from tests.chart.helm import Object


def granted(objects: dict[str, Object]) -> Iterator[Permission]:
    """Yields each permission that the Roles grant."""
    for role in objects.values():
        if role["kind"] != "Role":
            continue
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        for name in rule.get("resourceNames", [""]):
                            plural, _, sub = resource.partition("/")
                            namespace = role["metadata"]["namespace"]
                            yield Permission(namespace, group, plural, verb, subresource=sub, name=name)
