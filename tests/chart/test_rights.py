"""Tests of the chart's RBAC: the Roles grant exactly what the controller uses, to the controller only."""

import pytest

from gco_stream.cluster.permissions import required_permissions
from gco_stream.settings import LEASE_NAME
from tests.chart.helm import Helm
from tests.chart.support.rights import granted

pytestmark = pytest.mark.slow

ROLE = "arn:aws:iam::111122223333:role/gco-stream"


@pytest.mark.parametrize("more", [(), ("team-a", "team-b"), ("gco-inference", "team-a", "team-a")])
def test_the_roles_grant_exactly_what_the_controller_needs(more: tuple[str, ...], helm: Helm) -> None:
    objects = helm.render({"settings": {"ALLOWED_NAMESPACES": list(more)}})
    namespaces = tuple(dict.fromkeys(("gco-inference", *more)))
    grants = list(granted(objects))
    assert sorted(map(str, grants)) == sorted(map(str, required_permissions(namespaces, "gco-inference", LEASE_NAME)))
    assert set(grants) == set(required_permissions(namespaces, "gco-inference", LEASE_NAME))
    assert not {"ClusterRole", "ClusterRoleBinding"} & {obj["kind"] for obj in objects.values()}


def test_each_role_is_bound_only_to_the_controllers_service_account(helm: Helm) -> None:
    objects = helm.render({"settings": {"ALLOWED_NAMESPACES": ["team-a"]}, "serviceAccount": {"name": "mine"}})
    bindings = {name: obj for name, obj in objects.items() if obj["kind"] == "RoleBinding"}
    assert bindings.keys() == {"RoleBinding/gco-inference/gco-stream", "RoleBinding/team-a/gco-stream"}
    for binding in bindings.values():
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mine", "namespace": "gco-system"}]
        assert binding["roleRef"] == {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "gco-stream",
        }
    assert objects["Deployment/gco-stream"]["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_the_service_account_has_the_irsa_role_and_no_automounted_token(helm: Helm) -> None:
    annotations = {"eks.amazonaws.com/role-arn": ROLE}
    account = helm.render({"serviceAccount": {"annotations": annotations}})["ServiceAccount/gco-stream"]
    assert account["metadata"]["annotations"] == annotations
    assert account["automountServiceAccountToken"] is False


def test_an_existing_service_account_is_used_and_must_be_named(helm: Helm) -> None:
    theirs = helm.render({"serviceAccount": {"create": False, "name": "theirs"}, "rbac": {"create": False}})
    assert not {"ServiceAccount", "Role", "RoleBinding"} & {obj["kind"] for obj in theirs.values()}
    assert theirs["Deployment/gco-stream"]["spec"]["template"]["spec"]["serviceAccountName"] == "theirs"
    refused = helm.refusal(
        "template", "r", str(helm.chart), "--set", "settings.REGION=x", "--set", "serviceAccount.create=false"
    )
    assert "serviceAccount.name: required but not set" in refused
