"""Strategies for hostile items, with attributes from almost valid to absurd.

About a third of the items are valid and give manifests; the others give errors. PRIVATE is in every value that may be
a secret, so that leaks can be detected.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from gco_stream.model import wire

EXAMPLES = int(os.environ.get("GCO_STREAM_EXAMPLES", "50"))
_DYNAMODBS = r"[+-]?[0-9]{1,38}(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?"
PRIVATE = "hunter2-s3cret"

ANSI = "\x1b[31mred\x1b[0m"
CRAFTED = (
    "",
    " ",
    "a b",
    "a\nb",
    "a\r\nlevel=error forged",
    "\x00",
    ANSI,
    "\u202egnp.exe",
    "a\u200bb",
    "\ufeff",
    "e\u0301",
    "\u212b",
    "\U0001f600",
    "$(PATH)",
    "$(id)",
    "`id`",
    "'; rm -rf / #",
    '"quoted"',
    "--endpoint-url=http://evil",
    "-x",
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "//",
    "*",
    "?",
    "%",
    "%2f",
    "{{ .Values }}",
    "<script>alert(1)</script>",
    '{"type":"forward"}',
    "null",
    "true",
    "NaN",
    "Infinity",
    "-1",
    "0",
    "1e1000000",
    "1" * 5000,
    "x" * 300,
    "x" * 70_000,
    "kube-system",
    "kubernetes",
    "\ud800",
)


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    """One of the values. Unlike sampled_from its repr does not contain all of them, which may be long."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


texts = one_of(*CRAFTED) | st.text(max_size=12)
numbers = st.sampled_from(
    ("0", "1", "-1", "-0", "0.0", "1.5", "65536", "2147483648", "9.9E125", "-9.9E125", "1E-130", "1E2", "9" * 38)
)
_atoms = (
    st.builds(lambda text: {"S": text}, texts)
    | st.builds(lambda number: {"N": number}, numbers)
    | st.builds(lambda flag: {"BOOL": flag}, st.booleans())
    | st.just({"NULL": True})
    | st.builds(lambda binary: {"B": binary}, st.binary(max_size=8))
    | st.builds(lambda several: {"SS": several}, st.lists(texts, min_size=1, max_size=3, unique=True))
    | st.builds(lambda several: {"NS": several}, st.lists(numbers, min_size=1, max_size=3, unique=True))
    | st.builds(lambda several: {"BS": several}, st.lists(st.binary(max_size=4), min_size=1, max_size=2, unique=True))
)
wire_values = st.recursive(
    _atoms,
    lambda inner: (
        st.builds(lambda several: {"L": several}, st.lists(inner, max_size=3))
        | st.builds(lambda several: {"M": several}, st.dictionaries(texts, inner, max_size=3))
    ),
    max_leaves=6,
)


def deep(levels: int) -> dict[str, Any]:
    """A value as deep as DynamoDB allows."""
    value: dict[str, Any] = {"S": "at last"}
    for level in range(levels):
        value = {"L": [value]} if level % 2 else {"M": {"deeper": value}}
    return value


def mostly(good: Sequence[Any], wrong: Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    """A good value nine times in ten."""
    repeats = -(-9 * len(wrong) // max(1, len(good))) or 1
    return one_of(*(tuple(good) * repeats), *wrong)


def _text(*good: str, wrong: Sequence[str] = ()) -> st.SearchStrategy[dict[str, Any]]:
    return mostly([{"S": text} for text in good], [{"S": text} for text in wrong])


def _number(*good: str, wrong: Sequence[str] = ()) -> st.SearchStrategy[dict[str, Any]]:
    """A number as text, or as a number if DynamoDB supports it."""

    def both(numbers: Sequence[str]) -> list[dict[str, Any]]:
        return [
            {tag: number} for number in numbers for tag in ("N", "S") if tag == "S" or re.fullmatch(_DYNAMODBS, number)
        ]

    return mostly(both(good), both(wrong))


def _map(
    names: st.SearchStrategy[str], values: st.SearchStrategy[Any], most: int = 3
) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(names, values, max_size=most).map(lambda inner: {"M": inner})


def _list(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(values, max_size=most).map(lambda inner: {"L": inner})


def _part(optional: Mapping[str, st.SearchStrategy[Any]], **required: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=dict(optional)).map(lambda inner: {"M": inner})


IMAGES = _text(
    *("registry.example/serve:1.0", "x", "vllm/vllm-openai:v0.9.1", "a@sha256:" + "a" * 64, "h:5000/a/b_c:T-1"),
    *("[2001:db8::1]:5000/x:y", " x\n"),
    wrong=("a b", "", "A::b", "-x", ANSI, "x" * 70_000, "a/../b"),
)
PATHS = ("/health", "/", "/a/b", "/a?ready=1", "/%41", "/$x'(y)", "/" + "p" * 511)
WRONG_PATHS = ("/x*", "/a b", "/a\n", "/%zz", "health", "/" + "p" * 512)
INGRESS_PATHS = (
    *("/inference/chat", "/inference/chat/", "/inference/chat/v1", "/models/chat", "/a.b_c~$'@:+&-", "/Inference/x"),
    "/" + "p" * 125,
)
WRONG_INGRESS_PATHS = (
    *("/", "/*", "/inference", "/inference/", "/inference/other", "/inference/chat2", "//", "/a//b", "/a/../b", "/a/."),
    *("/a?b", "/%2f", "/a b", "x", "/" + "p" * 126),
)
RESOURCES = mostly(
    ("cpu", "memory", "ephemeral-storage", "nvidia.com/gpu", "aws.amazon.com/neuron", "vpc.amazonaws.com/efa"),
    (
        *("hugepages-2Mi", "hugepages-3Mi", "storage", "pods", "foo", "x.kubernetes.io/y", "requests.a/b", "a..b/c"),
        *("A.b/c", "a/" + "n" * 64, "d" * 254 + "/c"),
    ),
)
LABELS = mostly(
    ("disk", "a.b/c", "node-role.kubernetes.io/control-plane", "kubernetes.io/hostname"),
    ("a..b/c", "-a", "a/b/c", "l" * 64, ("d" * 63 + ".") * 4 + "com/x", ANSI),
)
_quantity = _number(
    *("1", "500m", "4Gi", "2", "0", "1.5", ".5", "1e3", "0.0001", "2Mi", "3Mi", "+1"),
    wrong=("1e99", "9E", "-1", "NaN", "1e1000000", "9" * 39, "1 ", ""),
)
_label_value = _text("fast", "", "a.b-c_d", "v" * 63, wrong=("-a", "v" * 64, "a b", ANSI))
_env = _map(
    mostly(("A", "b.c-d", "_", "LD_PRELOAD", "1A", "A B", "..x", "a:/\"'$(A)"), (f"A={PRIVATE}", ANSI, "")),
    mostly(
        [{"S": text} for text in (PRIVATE, "", "$(A)", f"{PRIVATE}\n{ANSI}")],
        [{"S": "\x00" + PRIVATE}, {"S": f"{PRIVATE}\ud800"}, {"L": [{"S": PRIVATE}]}, {"M": {PRIVATE: {"NULL": True}}}],
    ),
)
_toleration = st.one_of(
    _part({"effect": _text("NoSchedule", "PreferNoSchedule", "")}, operator=_text("Exists")),
    _part({}, key=_text(""), operator=_text("Exists")),
    _part({"value": _label_value}, key=LABELS.map(lambda name: {"S": name})),
    _part(
        {"value": _label_value, "tolerationSeconds": _number("0", "30", wrong=("-1", "1e99"))},
        key=_text("a", wrong=("a b", "")),
        operator=_text("Equal", wrong=("Perhaps", "Exists")),
        effect=_text("NoExecute", wrong=("No", "NoSchedule")),
    ),
)
_same_resources = _map(RESOURCES, _quantity).map(lambda both: {"M": {"requests": both, "limits": both}})
_either_resources = {"requests": _map(RESOURCES, _quantity), "limits": _map(RESOURCES, _quantity)}
_resources = _same_resources | _part(_either_resources)
_autoscaling = _part(
    {
        "min_replicas": _number("1", "2", wrong=("0", "99999")),
        "max_replicas": _number("3", "10", wrong=("1", "NaN")),
        "metrics": _list(
            _part(
                {
                    "type": _text("cpu", "memory", "gpu", ANSI, "m" * 500),
                    "target": _number("70", "1", wrong=("0", "1e9")),
                }
            )
        ),
    },
    enabled=mostly([{"BOOL": True}, {"S": "yes"}], [{"S": "perhaps"}]),
)
_canary = _part(
    {"weight": _number("0", "10", "100", wrong=("101", "-1")), "replicas": _number("1", "0", wrong=("-1",))},
    image=IMAGES,
)
_arguments = _list(
    _text("--root-path", "--root-path=/x", "/y", "--x", "$(A)", ANSI, wrong=("--root-path=/a b", "\x00")), 4
)

SPEC: dict[str, st.SearchStrategy[Any]] = {
    "port": _number("8000", "1", "65535", "8e3", wrong=("0", "65536", "1e1000000", "1" * 5000, "NaN")),
    "replicas": _number("0", "1", "3", "3.0", wrong=("10001", "-1", "1.5")),
    "gpu_count": _number("0", "1", "8", wrong=("1025",)),
    "gpu_type": _text("l4", wrong=("a b",)),
    "accelerator": _text("nvidia", "NEURON", " Nvidia", "", wrong=("tpu",)),
    "model_path": texts.map(lambda text: {"S": text}),
    "model_source": _text(
        *("s3://bucket/key", "s3://b/k k'\"", "s3://--endpoint-url=x/y", "s3://b/../../x", "file:///etc", "--quiet"),
        wrong=("s3://", "s3:///x", "s3://b/\n", "s3://b/" + "k" * 2100),
    ),
    "health_check_path": _text(*PATHS, wrong=WRONG_PATHS),
    "env": _env,
    "resources": _resources,
    "command": _arguments,
    "args": _arguments,
    "tolerations": _list(_toleration),
    "node_selector": _map(LABELS, _label_value),
    "capacity_type": _text("spot", "on-demand", "mixed", "reserved", " Spot", "", wrong=("cheap",)),
    "region_image_uris": _map(mostly(("us-east-1", "eu-west-1"), ("a b",)), IMAGES),
    "autoscaling": _autoscaling,
    "canary": _canary,
}
PRIVILEGED: dict[str, Any] = {
    "hostNetwork": True,
    "hostPID": True,
    "hostIPC": True,
    "hostname": "x",
    "serviceAccountName": "cluster-admin",
    "serviceAccount": "cluster-admin",
    "automountServiceAccountToken": True,
    "securityContext": {"privileged": True, "runAsUser": 0},
    "privileged": True,
    "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    "volumeMounts": [{"name": "host", "mountPath": "/host"}],
    "initContainers": [{"name": "x", "image": "evil"}],
    "containers": [{"name": "x", "image": "evil"}],
    "envFrom": [{"secretRef": {"name": "x"}}],
    "lifecycle": {"postStart": {"exec": {"command": ["sh"]}}},
    "nodeName": "control-plane",
    "priorityClassName": "system-node-critical",
    "runtimeClassName": "none",
    "imagePullSecrets": [{"name": "x"}],
    "hostPort": 22,
    "annotations": {"alb.ingress.kubernetes.io/group.name": "other"},
    "labels": {"project": "other"},
    "host": "evil.example",
    "tls": [{"hosts": ["evil.example"]}],
    "ingress_class": "other",
    "type": "LoadBalancer",
    "externalIPs": ["10.0.0.1"],
    "template": {"spec": {"hostNetwork": True}},
    "__class__": "x",
    "model_config": {"extra": "allow"},
    "model_dump": "x",
    "image_in": "x",
}
"""Unknown attributes of a spec: fields of pods, Services and Ingresses, and our own names."""

_unknown = one_of(*((name, wire.encode_value(value)) for name, value in PRIVILEGED.items()))


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """A spec in wire form, with an image, a few other fields and an unknown one."""
    spec = {"image": draw(IMAGES)}
    for name in draw(st.lists(st.sampled_from(sorted(SPEC)), max_size=5, unique=True)):
        spec[name] = draw(SPEC[name])
    spec.update([draw(_unknown)])
    return {"M": spec}


_STATUS = _part(
    {"error": _text("odd", ANSI, "e" * 9000), "epoch": numbers.map(lambda n: {"N": n}), "last_sync": _text("?")},
    state=_text("running", "error", wrong=("odd",)),
)
_ATTRIBUTES: dict[str, st.SearchStrategy[Any]] = {
    "desired_state": _text("deploying", "running", "stopped", "deleted", wrong=("paused", ANSI)),
    "target_regions": mostly(
        [{"L": [{"S": "us-east-1"}]}, {"SS": ["us-east-1", "eu-west-1"]}], [{"L": []}, {"L": [{"S": ANSI}]}]
    ),
    "namespace": _text("gco-inference", wrong=("kube-system", "a b", "../x", ANSI)),
    "ingress_path": _text(*INGRESS_PATHS, wrong=WRONG_INGRESS_PATHS),
    "hold": _text("not now", ANSI, "h" * 70_000),
    "created_at": _text("2026-11-21T09:00:00+00:00", "t" * 300_000, ANSI),
    "updated_at": _text("2026-11-21T09:00:00+00:00", "t" * 300_000, ANSI, "\ud800"),
    "created_by": texts.map(lambda text: {"S": text}),
    "labels": _map(texts, wire_values),
    "region_status": _map(mostly(("us-east-1", "eu-west-1"), (ANSI,)), _STATUS),
}
_NAMES = mostly(
    ("chat", "chat", "chat", "a" * 56, "kubernetes", "x-canary", "inference-chat"),
    ("a" * 63, "Chat", "a b", ANSI, ".."),
)


@st.composite
def items(draw: st.DrawFn, *, absurd: bool = False) -> dict[str, Any]:
    """An item in wire form. `absurd`: one attribute or one field of the spec has an arbitrary value."""
    item = {
        "endpoint_name": {"S": draw(_NAMES)},
        "desired_state": {"S": "running"},
        "target_regions": {"L": [{"S": "us-east-1"}]},
        "spec": draw(specs()),
    }
    for attribute in draw(st.lists(st.sampled_from(sorted(_ATTRIBUTES)), max_size=3, unique=True)):
        item[attribute] = draw(_ATTRIBUTES[attribute])
    if absurd:
        anything = draw(wire_values | st.just(deep(31)))
        place = draw(st.sampled_from(("spec", *SPEC, *_ATTRIBUTES, "unknown")))
        (item["spec"]["M"] if place in SPEC else item)[place] = anything
    return item
