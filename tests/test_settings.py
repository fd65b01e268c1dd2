import pytest

from gco_stream.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
        "DYNAMODB_REGION",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REGION", "us-east-1")


def test_the_home_region_defaults_to_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (load_settings().home_region, load_settings().streams_region) == ("us-east-1", "us-east-1")
    monkeypatch.setenv("DYNAMODB_REGION", "eu-west-1")
    assert (load_settings().home_region, load_settings().streams_region) == ("eu-west-1", "eu-west-1")
    monkeypatch.setenv("STREAM_REGION", "ap-south-1")
    assert load_settings().streams_region == "ap-south-1"


def test_the_inference_namespace_is_always_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().namespaces == ("gco-inference",)
    monkeypatch.setenv("ALLOWED_NAMESPACES", "team-a, gco-inference,team-b")
    assert load_settings().namespaces == ("gco-inference", "team-a", "team-b")


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECONCILE_WORKERS", "")
    assert load_settings().reconcile_workers == 16


def test_all_invalid_settings_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGION")
    monkeypatch.setenv("RECONCILE_WORKERS", "none")
    monkeypatch.setenv("ALLOWED_NAMESPACES", "Team_A")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "x")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    lines = str(raised.value).splitlines()
    assert len(lines) == 4
    for name in (
        "REGION: required but not set (region that",
        "RECONCILE_WORKERS: invalid value 'none': must be a valid integer (",
        "ALLOWED_NAMESPACES: invalid value 'Team_A': must be",
        "AWS_ENDPOINT_URL_DYNAMODB and",
    ):
        assert any(line.startswith(name) for line in lines), lines


def test_a_renew_deadline_in_the_last_second_of_the_lease_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASE_RENEW_DEADLINE_SECONDS", "14.5")
    with pytest.raises(
        SettingsError, match=r"^LEASE_RENEW_DEADLINE_SECONDS: invalid value 14\.5: must be at least 1 second less than"
    ):
        load_settings()


def test_an_unhealthy_threshold_of_zero_is_accepted_as_in_gco(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_UNHEALTHY_THRESHOLD_SECONDS", "0")
    assert load_settings().inference_unhealthy_threshold_seconds == 0
    monkeypatch.setenv("INFERENCE_UNHEALTHY_THRESHOLD_SECONDS", "-1")
    with pytest.raises(SettingsError, match="INFERENCE_UNHEALTHY_THRESHOLD_SECONDS: invalid value '-1'"):
        load_settings()
