"""The pod template of an endpoint.

A changed template causes a rollout, and GPU pods take many minutes to load a model. Renderings are therefore versioned:
while its inputs do not change, a Deployment keeps the version that created it. A new release restarts no pods.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from gco_stream.model import names
from gco_stream.model.item.field_types import has_s3_scheme
from gco_stream.model.item.spec import EndpointSpec
from gco_stream.model.objects import JsonObject, canonical_hash
from gco_stream.model.resources import DEVICES
from gco_stream.planning.resources.env_order import references_first
from gco_stream.planning.resources.root_path import ServedPath, served_path

ADOPTED_VERSION = 0
"""Version of a template that gco-stream did not render, which stays unchanged until its inputs change."""

REFERENCES_FIRST_SINCE = 2
"""First version in which a referenced environment variable always comes before those that refer to it."""

_DEVICE_NODES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "nvidia": MappingProxyType({"eks.amazonaws.com/instance-gpu-manufacturer": "nvidia"}),
        "neuron": MappingProxyType({"accelerator": "neuron"}),
    }
)
_MODELS_PATH = "/models"
_MODEL_VOLUME = "model-storage"


@dataclass(frozen=True, slots=True)
class TemplateInputs:
    """The inputs of the pod template of one Deployment.

    `app`: the name of the Deployment. `model_folder`: the name of the endpoint, because main and canary read the same
    model. `image`: the image in this region. `server`: the main Deployment's image in this region, which decides on the
    root path, because main and canary serve the same Ingress path. `gpu_type`: None if it is not set or ignored.
    """

    app: str
    model_folder: str
    image: str
    server: str
    spec: EndpointSpec
    ingress_path: str
    gpu_type: str | None

    def hash(self) -> str:
        """Returns a digest of the inputs. It does not depend on the version of the rendering.

        The args and the probe path are those of version 1: the digests of earlier releases contain these.
        """
        spec, served = self.spec, self._served(1)
        return canonical_hash(
            {
                "app": self.app,
                "image": self.image,
                "args": served.args,
                "command": spec.command,
                "probe": served.prefix + spec.health_check_path,
                "port": spec.port,
                "gpu": [spec.gpu_count, spec.accelerator, self.gpu_type],
                "model": [bool(spec.model_path), spec.model_source, self.model_folder],
                "env": spec.env,
                "resources": [spec.resources.requests, spec.resources.limits],
                "tolerations": [toleration.manifest() for toleration in spec.tolerations],
                "nodes": [spec.node_selector, spec.capacity_type],
            }
        )

    def args(self, version: int) -> tuple[str, ...]:
        """Returns the arguments of the container, including the root path."""
        return self._served(version).args

    def probe_path(self, version: int) -> str:
        """Returns the path for health checks by the kubelet and the load balancer."""
        return self._served(version).prefix + self.spec.health_check_path

    def _served(self, version: int) -> ServedPath:
        return served_path(self.spec, self.server, self.ingress_path, version)


def main_inputs(
    name: str, spec: EndpointSpec, *, image: str, ingress_path: str, honor_gpu_type: bool
) -> TemplateInputs:
    """Returns the inputs of the main Deployment's pod template. `image`: its image in this region."""
    return TemplateInputs(
        app=name,
        model_folder=name,
        image=image,
        server=image,
        spec=spec,
        ingress_path=ingress_path,
        gpu_type=spec.gpu_type if honor_gpu_type else None,
    )


def canary_inputs(main: TemplateInputs, image: str) -> TemplateInputs:
    """Returns the inputs of the canary's pod template. They differ from those of the main one in name and image."""
    return replace(main, app=names.canary_name(main.app), image=image)


@dataclass(frozen=True, slots=True)
class Renderings:
    """The renderings of the pod template by version, starting at 1; the highest version is the newest.

    An older rendering is kept while Deployments that were created with it may exist. It must not be modified, because a
    different template for the same inputs would restart their pods.
    """

    by_version: Mapping[int, Callable[[TemplateInputs], JsonObject]] = field(hash=False)

    @property
    def current(self) -> int:
        """The newest version, which new Deployments use."""
        return max(self.by_version)

    def can_render(self, version: int) -> bool:
        """Whether this release can render the version. Adopted templates and newer versions cannot be rendered."""
        return version in self.by_version

    def render(self, inputs: TemplateInputs, version: int) -> JsonObject:
        """Renders the pod template of a version. Raises KeyError for an unknown version."""
        return self.by_version[version](inputs)


def _version_1(inputs: TemplateInputs) -> JsonObject:
    return _pod(inputs, 1, _variables(inputs.spec), _node_selector(inputs.spec, inputs.gpu_type))


def _version_2(inputs: TemplateInputs) -> JsonObject:
    """Renders version 2, which differs from version 1 in six ways.

    * Service links are off. Otherwise, every Service of the namespace adds seven variables to every container: an
      endpoint named `vllm` sets VLLM_PORT to a URL, and vLLM fails (https://github.com/vllm-project/vllm/issues/15613).
      With thousands of Services, containers cannot start (https://github.com/kubernetes/kubernetes/issues/92615).
    * --root-path is passed only to vLLM.
    * References between variables work in any order.
    * A gpu_type with a dot is an instance type, such as g5.xlarge, as in GCO's documentation.
    * Without gpu_count, the number of devices in the resources is the gpu_count.
    * The scheme of model_source may be in upper case.
    """
    source = inputs.spec.model_source
    if source and has_s3_scheme(source):
        # The AWS CLI accepts the scheme only in lower case.
        source = f"s3{source[2:]}"
    spec = inputs.spec.model_copy(update={"gpu_count": inputs.spec.device_count, "model_source": source})
    inputs = replace(inputs, spec=spec)
    nodes = _node_selector(spec, None if _is_instance_type(inputs.gpu_type) else inputs.gpu_type)
    if spec.gpu_count and inputs.gpu_type and _is_instance_type(inputs.gpu_type):
        nodes["node.kubernetes.io/instance-type"] = inputs.gpu_type
    rendered = _pod(inputs, 2, references_first(_variables(spec)), nodes)
    rendered["spec"]["enableServiceLinks"] = False
    return rendered


def _is_instance_type(gpu_type: str | None) -> bool:
    return gpu_type is not None and "." in gpu_type


def _pod(inputs: TemplateInputs, version: int, variables: list[JsonObject], nodes: dict[str, str]) -> JsonObject:
    spec = inputs.spec
    pod: JsonObject = {
        "serviceAccountName": "gco-service-account",
        "containers": [_container(inputs, version, variables)],
        "tolerations": _tolerations(spec),
    }
    if nodes:
        pod["nodeSelector"] = nodes
    if spec.model_path or spec.model_source:
        pod["volumes"] = [{"name": _MODEL_VOLUME, "persistentVolumeClaim": {"claimName": "efs-claim"}}]
    if spec.model_source and spec.model_source.startswith("s3://"):
        pod["initContainers"] = [_model_sync(spec.model_source, f"{_MODELS_PATH}/{inputs.model_folder}")]
    return {"metadata": {"labels": names.labels(inputs.app)}, "spec": pod}


def _variables(spec: EndpointSpec) -> list[JsonObject]:
    # Sorted because DynamoDB does not keep the order of a map. An apply keeps the order of the live object.
    return [{"name": name, "value": spec.env[name]} for name in sorted(spec.env)]


def _container(inputs: TemplateInputs, version: int, variables: list[JsonObject]) -> JsonObject:
    spec = inputs.spec
    probe = {"httpGet": {"path": inputs.probe_path(version), "port": spec.port}}
    container: JsonObject = {
        "name": names.CONTAINER,
        "image": inputs.image,
        "ports": [{"containerPort": spec.port, "protocol": "TCP"}],
        "resources": _resources(spec),
        "livenessProbe": {**probe, "initialDelaySeconds": 120, "periodSeconds": 15, "failureThreshold": 5},
        "readinessProbe": {**probe, "initialDelaySeconds": 30, "periodSeconds": 10},
    }
    if variables:
        container["env"] = variables
    if spec.command:
        container["command"] = list(spec.command)
    if args := inputs.args(version):
        container["args"] = list(args)
    if spec.model_path or spec.model_source:
        container["volumeMounts"] = [{"name": _MODEL_VOLUME, "mountPath": _MODELS_PATH}]
    return container


def _resources(spec: EndpointSpec) -> JsonObject:
    devices = {spec.device: str(spec.gpu_count)} if spec.device else {}
    return {
        "requests": {**spec.resources.requests, **devices},
        "limits": {**spec.resources.limits, **devices},
    }


def _tolerations(spec: EndpointSpec) -> list[JsonObject]:
    tolerations = [{"key": DEVICES[spec.accelerator], "operator": "Equal", "value": "true", "effect": "NoSchedule"}]
    return tolerations + [own for own in (t.manifest() for t in spec.tolerations) if own not in tolerations]


def _node_selector(spec: EndpointSpec, gpu_type: str | None) -> dict[str, str]:
    nodes = dict(spec.node_selector)
    if spec.gpu_count and not nodes:
        nodes = dict(_DEVICE_NODES[spec.accelerator])
    if spec.gpu_count and gpu_type and spec.accelerator == "nvidia":
        nodes["eks.amazonaws.com/instance-gpu-name"] = gpu_type
    if spec.capacity_type in {"spot", "on-demand", "reserved"}:
        nodes["karpenter.sh/capacity-type"] = spec.capacity_type
    return nodes


def _model_sync(source: str, target: str) -> JsonObject:
    # The entry point of the image is `aws` and the source is an argument, so no text from an item reaches a shell.
    return {
        "name": "model-sync",
        "image": "amazon/aws-cli:latest",
        "args": ["s3", "sync", source, target, "--quiet"],
        "volumeMounts": [{"name": _MODEL_VOLUME, "mountPath": _MODELS_PATH}],
        "resources": {
            "requests": {"cpu": "1", "memory": "2Gi"},
            "limits": {"cpu": "4", "memory": "8Gi"},
        },
    }


RENDERINGS = Renderings(MappingProxyType({1: _version_1, 2: _version_2}))
"""The renderings of this release."""
