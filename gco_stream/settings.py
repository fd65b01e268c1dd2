"""Every setting, once. GCO's names as they are, ours in the same style; read from the environment.

A wrong value stops the start with every error listed at once, each naming the variable, the value and what is allowed.
"""

import os
import socket
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gco_stream.model import names

LEASE_NAME = "inference-monitor-leader"

_TABLE_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"
_STREAMS_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
SecondsOrNone = Annotated[float, Field(ge=0, le=86_400)]


class SettingsError(Exception):
    """The settings cannot be used; the message has one line for each thing that is wrong."""


def _namespace(value: str) -> str:
    if not names.is_namespace(value):
        raise ValueError(f"allowed: {names.NAMESPACE_RULE}")
    return value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Namespace = Annotated[str, AfterValidator(_namespace)]


class Settings(BaseSettings):
    """The program's settings. Field names are the environment's in lower case; times are in seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    cluster_name: str = Field("unknown-cluster", description="the cluster's name, for logs and metrics")
    region: str = Field(
        pattern=r"^[a-z0-9-]{1,40}$",
        description="the region this controller serves, as items' target_regions name it; has no default",
    )
    dynamodb_region: str = Field(
        "", description="the home region: the one region all table writes go to (default: REGION)"
    )
    stream_region: str = Field("", description="the replica whose stream is read (default: DYNAMODB_REGION)")
    inference_endpoints_table_name: str = Field(
        "gco-inference-endpoints", pattern=r"^[a-zA-Z0-9_.-]{3,255}$", description="the table of endpoints"
    )
    inference_namespace: Namespace = Field(
        "gco-inference", description="where endpoints live that name no namespace, and where the Lease is"
    )
    allowed_namespaces: Annotated[tuple[Namespace, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="namespaces that items may name, separated by commas (default: INFERENCE_NAMESPACE)"
    )
    hostname: str = Field(default_factory=socket.gethostname, description="this replica's name in the Lease")

    stream_poll_interval_seconds: Seconds = Field(0.2, description="pause between two reads of a shard")
    reconcile_interval_seconds: Seconds = Field(15, description="resync interval where the table has no stream")
    resync_interval_seconds: Seconds = Field(300, description="resync interval beside the stream, +-10 %")
    reconcile_workers: int = Field(16, ge=1, le=256, description="endpoints worked on at once")
    k8s_api_timeout: Seconds = Field(30, description="longest wait for one Kubernetes call")
    dynamodb_timeout_seconds: Seconds = Field(5, description="longest wait for one DynamoDB call")

    lease_duration_seconds: int = Field(15, ge=1, le=3600, description="how long a lease holds without renewal")
    lease_renew_deadline_seconds: Seconds = Field(10, description="when a leader that cannot renew steps down")
    lease_retry_period_seconds: Seconds = Field(2, description="pause between two tries to take or renew the lease")

    canary_drain_seconds: float = Field(30, ge=0, le=3600, description="from a canary's route to its removal")
    inference_unhealthy_threshold_seconds: Seconds = Field(
        300, description="how long an endpoint may have no ready replica before its Ingress is withdrawn"
    )
    status_interval_seconds: SecondsOrNone = Field(15, description="shortest pause between reports of counts alone")
    status_heartbeat_seconds: SecondsOrNone = Field(0, description="report at least this often; 0: only on change")
    mass_delete_limit: int | None = Field(
        None, ge=0, le=2000, description="endpoints an hour removed without being asked (default: max(5, 10 %))"
    )
    honor_gpu_type: bool = Field(False, description="select nodes by the item's gpu_type")

    http_host: str = Field("0.0.0.0", description="address of health, metrics and the status page")  # noqa: S104
    http_port: int = Field(8080, ge=0, le=65535, description="port of the same; 0: any free one")
    log_level: Literal["DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", "NOTSET"] = Field(
        "INFO", description="lowest level that is logged; upper or lower case"
    )
    log_format: Literal["auto", "json", "text", "console"] = Field(
        "auto", description="auto: json, or text on a terminal; console: another name for text"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_format", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _lease_times_in_order(self) -> "Settings":
        times = (
            self.lease_retry_period_seconds,
            self.lease_renew_deadline_seconds,
            self.lease_duration_seconds,
        )
        if not times[0] < times[1] < times[2]:
            raise ValueError(
                "LEASE_RETRY_PERIOD_SECONDS < LEASE_RENEW_DEADLINE_SECONDS < LEASE_DURATION_SECONDS must hold, "
                f"they are {times[0]:g}, {times[1]:g}, {times[2]:g}"
            )
        if self.lease_renew_deadline_seconds > self.lease_duration_seconds - 1:
            # Nothing is written in a lease's last second: a leader that still hopes then is one that cannot act.
            raise ValueError(
                f"LEASE_RENEW_DEADLINE_SECONDS: {self.lease_renew_deadline_seconds:g} is not allowed; "
                f"allowed: at least 1 less than LEASE_DURATION_SECONDS, which is {self.lease_duration_seconds}"
            )
        return self

    @property
    def home_region(self) -> str:
        """The region that all table writes go to."""
        return self.dynamodb_region or self.region

    @property
    def streams_region(self) -> str:
        """The region whose replica's stream is read."""
        return self.stream_region or self.home_region

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Every namespace that may be touched, the installation's own first."""
        return tuple(dict.fromkeys((self.inference_namespace, *self.allowed_namespaces)))


def load_settings() -> Settings:
    """The settings of this process's environment. Raises SettingsError naming every wrong one."""
    degraded_reasons = []
    if bool(os.environ.get(_TABLE_ENDPOINT)) != bool(os.environ.get(_STREAMS_ENDPOINT)) and not os.environ.get(
        "AWS_ENDPOINT_URL"
    ):
        degraded_reasons.append(
            f"{_TABLE_ENDPOINT} and {_STREAMS_ENDPOINT}: only one is set, so table and stream would not "
            "belong together; set both or neither"
        )
    try:
        settings = Settings()
    except ValidationError as error:
        degraded_reasons += map(_complaint, error.errors())
        raise SettingsError("\n".join(degraded_reasons)) from None
    if degraded_reasons:
        raise SettingsError("\n".join(degraded_reasons))
    return settings


def _complaint(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not detail["loc"]:
        return message
    name = str(detail["loc"][0])
    field = Settings.model_fields.get(name)
    purpose = f" ({field.description})" if field and field.description else ""
    if detail["type"] == "missing":
        return f"{name.upper()}: not set{purpose}"
    return f"{name.upper()}: {detail['input']!r} is not allowed; {message[:1].lower()}{message[1:]}{purpose}"
