"""Settings of the program, read from environment variables.

Variables that GCO also uses keep their names; the others follow the same style. Invalid settings stop the program at
startup. It prints one line per problem, with the variable, its value and what is allowed.
"""

import os
import re
import socket
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gco_stream.model import names

LEASE_NAME = "inference-monitor-leader"

_TABLE_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"
_STREAMS_ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"
_SHOULD = re.compile(r"^(Input|String) should ")

Seconds = Annotated[float, Field(gt=0, le=86_400)]
SecondsOrNone = Annotated[float, Field(ge=0, le=86_400)]


class SettingsError(Exception):
    """Error for invalid settings. The message has one line per problem."""


def _namespace(value: str) -> str:
    if not names.is_namespace(value):
        raise ValueError(f"must be {names.NAMESPACE_RULE}")
    return value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Namespace = Annotated[str, AfterValidator(_namespace)]


class Settings(BaseSettings):
    """Settings of the program. A field has the name of its variable in lower case. Times are in seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    cluster_name: str = Field("unknown-cluster", description="name of the cluster in logs and metrics")
    region: str = Field(
        pattern=r"^[a-z0-9-]{1,40}$",
        description="region that this controller serves, as written in the target_regions of items",
    )
    dynamodb_region: str = Field("", description="home region, to which all table writes go (default: REGION)")
    stream_region: str = Field(
        "", description="region of the table replica whose stream is read (default: DYNAMODB_REGION)"
    )
    inference_endpoints_table_name: str = Field(
        "gco-inference-endpoints", pattern=r"^[a-zA-Z0-9_.-]{3,255}$", description="DynamoDB table of endpoints"
    )
    inference_namespace: Namespace = Field(
        "gco-inference", description="namespace of the Lease and of endpoints that do not name a namespace"
    )
    allowed_namespaces: Annotated[tuple[Namespace, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="comma-separated list of namespaces that items may use (default: INFERENCE_NAMESPACE)"
    )
    hostname: str = Field(default_factory=socket.gethostname, description="identity of this replica in the Lease")

    stream_poll_interval_seconds: Seconds = Field(0.2, description="interval between reads of a shard")
    reconcile_interval_seconds: Seconds = Field(15, description="resync interval while no stream can be read")
    resync_interval_seconds: Seconds = Field(300, description="resync interval while the stream is read, +-10 %")
    reconcile_workers: int = Field(16, ge=1, le=256, description="number of endpoints that are reconciled concurrently")
    k8s_api_timeout: Seconds = Field(30, description="timeout of one Kubernetes API call")
    dynamodb_timeout_seconds: Seconds = Field(5, description="timeout of one DynamoDB call")

    lease_duration_seconds: int = Field(
        15, ge=1, le=3600, description="time after which a lease expires if it is not renewed"
    )
    lease_renew_deadline_seconds: Seconds = Field(
        10, description="time after which a leader that cannot renew steps down"
    )
    lease_retry_period_seconds: Seconds = Field(
        2, description="interval between attempts to acquire or renew the lease"
    )

    canary_drain_seconds: float = Field(
        30, ge=0, le=3600, description="delay between removing a canary's route and deleting the canary"
    )
    inference_unhealthy_threshold_seconds: SecondsOrNone = Field(
        300, description="time without a ready replica after which an endpoint's Ingress is withdrawn; 0: at once"
    )
    status_interval_seconds: SecondsOrNone = Field(
        15, description="minimum interval between reports that change only replica counts"
    )
    status_heartbeat_seconds: SecondsOrNone = Field(
        0, description="maximum interval between reports; 0: report only changes"
    )
    mass_delete_limit: int | None = Field(
        None,
        ge=0,
        le=2000,
        description="endpoints that may be deleted per hour without a request (default: max(5, 10 %))",
    )
    honor_gpu_type: bool = Field(False, description="add the item's gpu_type to the node selector")

    http_host: str = Field("0.0.0.0", description="listen address of health checks, metrics and the status page")  # noqa: S104
    http_port: int = Field(
        8080, ge=0, le=65535, description="port of health checks, metrics and the status page; 0: any free port"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", "NOTSET"] = Field(
        "INFO", description="minimum level of log messages, in upper or lower case"
    )
    log_format: Literal["auto", "json", "text", "console"] = Field(
        "auto", description="auto: text on a terminal, json otherwise; console: same as text"
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
                "LEASE_RETRY_PERIOD_SECONDS, LEASE_RENEW_DEADLINE_SECONDS, LEASE_DURATION_SECONDS: "
                f"invalid values {times[0]:g}, {times[1]:g}, {times[2]:g}: must satisfy "
                "LEASE_RETRY_PERIOD_SECONDS < LEASE_RENEW_DEADLINE_SECONDS < LEASE_DURATION_SECONDS"
            )
        if self.lease_renew_deadline_seconds > self.lease_duration_seconds - 1:
            # A leader writes nothing in the last second of its lease. With a later deadline, it would hold the Lease
            # without being able to act.
            raise ValueError(
                f"LEASE_RENEW_DEADLINE_SECONDS: invalid value {self.lease_renew_deadline_seconds:g}: "
                f"must be at least 1 second less than LEASE_DURATION_SECONDS ({self.lease_duration_seconds})"
            )
        return self

    @property
    def home_region(self) -> str:
        """The region to which all table writes go."""
        return self.dynamodb_region or self.region

    @property
    def streams_region(self) -> str:
        """The region of the table replica whose stream is read."""
        return self.stream_region or self.home_region

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All namespaces in which objects may be managed, starting with INFERENCE_NAMESPACE."""
        return tuple(dict.fromkeys((self.inference_namespace, *self.allowed_namespaces)))


def load_settings() -> Settings:
    """Returns the settings from the environment. Raises SettingsError, whose message lists every problem."""
    degraded_reasons = []
    if bool(os.environ.get(_TABLE_ENDPOINT)) != bool(os.environ.get(_STREAMS_ENDPOINT)) and not os.environ.get(
        "AWS_ENDPOINT_URL"
    ):
        degraded_reasons.append(
            f"{_TABLE_ENDPOINT} and {_STREAMS_ENDPOINT}: only one is set: set both or neither, "
            "so that the table and its stream are on the same server"
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
    message = _requirement(str(detail["msg"]))
    if not detail["loc"]:
        return message
    name = str(detail["loc"][0])
    field = Settings.model_fields.get(name)
    purpose = f" ({field.description})" if field and field.description else ""
    if detail["type"] == "missing":
        return f"{name.upper()}: required but not set{purpose}"
    return f"{name.upper()}: invalid value {detail['input']!r}: {message}{purpose}"


def _requirement(message: str) -> str:
    """Returns what is allowed, from pydantic's message: "Input should be X, unable to Y" becomes "must be X"."""
    message = message.removeprefix("Value error, ").partition(", unable to ")[0]
    return _SHOULD.sub("must ", message)
