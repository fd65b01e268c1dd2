"""Tests of the chart's pods: rollout, disruption, security context, probes, resources, environment and image."""

from typing import Any

import pytest

import gco_stream
from gco_stream.model.resources import value_of
from tests.chart.helm import Helm, Object, environment
from tests.chart.support.labels import SELECTOR

pytestmark = pytest.mark.slow


def deployment(objects: dict[str, Object]) -> Any:
    return objects["Deployment/gco-stream"]["spec"]


def pod(objects: dict[str, Object]) -> Any:
    return deployment(objects)["template"]["spec"]


def container(objects: dict[str, Object]) -> Any:
    (only,) = pod(objects)["containers"]
    return only


def test_a_new_replica_is_ready_before_an_old_one_stops(plain: dict[str, Object]) -> None:
    spec = deployment(plain)
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert spec["selector"] == {"matchLabels": SELECTOR}
    assert spec["template"]["metadata"]["labels"] == SELECTOR
    assert pod(plain)["terminationGracePeriodSeconds"] == 30


def test_a_drain_leaves_one_replica_and_does_not_wait_for_unready_pods(plain: dict[str, Object]) -> None:
    assert plain["PodDisruptionBudget/gco-stream"]["spec"] == {
        "minAvailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": SELECTOR},
    }


def test_a_single_replica_has_no_disruption_budget_that_would_block_drains(helm: Helm) -> None:
    assert "PodDisruptionBudget/gco-stream" not in helm.render({"replicaCount": 1})


def test_replicas_are_spread_over_zones_and_nodes_if_possible(plain: dict[str, Object]) -> None:
    for constraint, key in zip(
        pod(plain)["topologySpreadConstraints"], ("topology.kubernetes.io/zone", "kubernetes.io/hostname"), strict=True
    ):
        assert constraint == {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": SELECTOR},
            "matchLabelKeys": ["pod-template-hash"],
        }


@pytest.mark.parametrize("of", ["Deployment/gco-stream", "Pod/gco-stream-doctor"])
def test_a_pod_has_a_read_only_file_system_and_cannot_gain_privileges(of: str, plain: dict[str, Object]) -> None:
    spec = plain[of]["spec"]
    spec = spec.get("template", {}).get("spec", spec)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "volumes" not in spec
    assert spec["enableServiceLinks"] is False


def test_the_probes_use_the_port_of_the_program(helm: Helm) -> None:
    one = container(helm.render({"settings": {"HTTP_PORT": 9000}, "readinessProbe": {"periodSeconds": 3}}))
    assert one["ports"] == [{"name": "http", "containerPort": 9000, "protocol": "TCP"}]
    assert environment(one)["HTTP_PORT"] == "9000"
    assert one["startupProbe"]["httpGet"] == one["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert one["readinessProbe"] == {
        "httpGet": {"path": "/readyz", "port": "http"},
        "periodSeconds": 3,
        "timeoutSeconds": 5,
        "failureThreshold": 2,
    }


def test_memory_exceeds_what_was_measured_and_there_is_no_cpu_limit(plain: dict[str, Object]) -> None:
    resources = container(plain)["resources"]
    # docs/performance.md: the peak with 10,000 endpoints is 122 MiB, and must stay under 150.
    assert value_of(resources["requests"]["memory"]) > value_of("150Mi")
    assert value_of(resources["limits"]["memory"]) >= value_of("300Mi")
    assert set(resources["limits"]) == {"memory"}


def test_settings_with_a_value_become_variables_in_the_form_the_program_reads(helm: Helm) -> None:
    settings = {
        "CLUSTER_NAME": "007",
        "ALLOWED_NAMESPACES": ["team-a", "team-b"],
        "STREAM_POLL_INTERVAL_SECONDS": 0.5,
        "RESYNC_INTERVAL_SECONDS": 86_400,
        "HONOR_GPU_TYPE": True,
        "MASS_DELETE_LIMIT": 0,
        "STREAM_REGION": "",
    }
    assert environment(container(helm.render({"settings": settings}))) == {
        "REGION": "us-east-1",
        "INFERENCE_NAMESPACE": "gco-inference",
        "HTTP_PORT": "8080",
        "CLUSTER_NAME": "007",
        "ALLOWED_NAMESPACES": "team-a,team-b",
        "STREAM_POLL_INTERVAL_SECONDS": "0.5",
        "RESYNC_INTERVAL_SECONDS": "86400",
        "HONOR_GPU_TYPE": "true",
        "MASS_DELETE_LIMIT": "0",
    }


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ({}, f"gco-stream:{gco_stream.__version__}"),
        ({"registry": "registry.example/team", "tag": "2.0"}, "registry.example/team/gco-stream:2.0"),
        ({"repository": "a/b", "tag": "2.0", "digest": f"sha256:{'0' * 64}"}, f"a/b@sha256:{'0' * 64}"),
    ],
    ids=["default", "registry and tag", "digest"],
)
def test_the_image_has_the_chart_version_or_the_given_tag_or_digest(image: Object, named: str, helm: Helm) -> None:
    objects = helm.render({"image": image})
    assert container(objects)["image"] == named
    assert objects["Pod/gco-stream-doctor"]["spec"]["containers"][0]["image"] == named


def test_additional_values_apply_to_the_controller_and_the_doctor(helm: Helm) -> None:
    values = {
        "extraEnv": [{"name": "AWS_CA_BUNDLE", "value": "/ca/ca.pem"}],
        "extraEnvFrom": [{"configMapRef": {"name": "aws"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
        "imagePullSecrets": [{"name": "pull"}],
        "podLabels": {"project": "gco"},
        "commonLabels": {"team": "serving"},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "dnsPolicy": "Default",
    }
    objects = helm.render(values)
    template, doctor = deployment(objects)["template"], objects["Pod/gco-stream-doctor"]
    for one in (template, doctor):
        spec = one["spec"]
        (runs,) = spec["containers"]
        assert environment(runs)["AWS_CA_BUNDLE"] == "/ca/ca.pem"
        assert runs["envFrom"] == values["extraEnvFrom"]
        assert runs["volumeMounts"] == values["extraVolumeMounts"]
        assert spec["volumes"] == values["extraVolumes"]
        assert spec["imagePullSecrets"] == values["imagePullSecrets"]
        assert spec["nodeSelector"] == {"disk": "ssd", "kubernetes.io/os": "linux"}
        assert spec["tolerations"] == values["tolerations"]
        assert spec["dnsPolicy"] == "Default"
        assert spec["serviceAccountName"] == "gco-stream"
        assert spec["automountServiceAccountToken"] is True
        assert one["metadata"]["labels"]["project"] == "gco"
    assert all(obj["metadata"]["labels"]["team"] == "serving" for obj in objects.values())


def test_the_doctor_pod_does_not_match_the_controllers_selector(plain: dict[str, Object]) -> None:
    doctor = plain["Pod/gco-stream-doctor"]
    assert doctor["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert doctor["spec"]["restartPolicy"] == "Never"
    assert doctor["spec"]["containers"][0]["args"] == ["doctor"]
    assert not SELECTOR.items() <= doctor["metadata"]["labels"].items()
