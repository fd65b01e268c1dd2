"""The --root-path argument of the inference server.

All endpoints share one load balancer, which does not strip the Ingress path from requests. A server that supports
--root-path is therefore started with that path, and answers health checks below it.
"""

import re
from dataclasses import dataclass

from gco_stream.model.item.spec import ROOT_PATH, EndpointSpec

# GCO passes --root-path to every image whose reference contains one of these words.
_SERVERS_OF_VERSION_1 = ("vllm", "text-generation-inference", "tgi")
_SERVER = "vllm"


@dataclass(frozen=True, slots=True)
class ServedPath:
    """The container's `args`, and the `prefix` of the paths that its server answers ("" for none)."""

    args: tuple[str, ...]
    prefix: str


def served_path(spec: EndpointSpec, image: str, ingress_path: str, version: int) -> ServedPath:
    """Returns the args and the path prefix for a version of the pod template. `image`: the main Deployment's image.

    If the spec has its own --root-path or a command, the args are not changed. Otherwise, a server that is known to
    support --root-path gets the Ingress path. Since version 2, these are only images of vLLM: TGI rejects the flag and
    cannot serve below a path (https://github.com/huggingface/text-generation-inference/issues/1456 and 970).
    """
    own = spec.own_root_path
    if own is not None:
        return ServedPath(spec.args, _prefix(own))
    takes_path = _takes_root_path(image) if version > 1 else any(s in image.lower() for s in _SERVERS_OF_VERSION_1)
    if spec.command or not takes_path:
        return ServedPath(spec.args, "")
    return ServedPath((*spec.args, ROOT_PATH, ingress_path), _prefix(ingress_path))


def _takes_root_path(image: str) -> bool:
    """Whether `vllm` is a word of the repository's last segment, as in vllm/vllm-openai:v0.11.

    Tags, registries and other segments are not considered: they name variants, teams and hosts.
    """
    segment = image.partition("@")[0].rpartition("/")[2].partition(":")[0]
    return _SERVER in re.split(r"[^a-z0-9]+", segment.lower())


def _prefix(path: str) -> str:
    return path.rstrip("/") if path.startswith("/") else ""
