"""`helm test` runs the doctor as a pod; a process runs in its place, and the test sets the pod's phase."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gco_stream.local.kube_api import KubeApi, path_of
from tests.integration.chart.release import NAME, Release

POD = f"{NAME}-doctor"


def examine(release: Release, kube: KubeApi) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs `helm test` and the doctor; returns the result of the one and the output of the other."""
    path = path_of("Pod", release.system, POD)
    with ThreadPoolExecutor(1) as pool:
        testing = pool.submit(release.helm.run, "test", NAME, "--namespace", release.system, "--timeout", "300s")
        pod = kube.wait_for(lambda: running(kube.find(path)), what="the doctor's pod runs")
        assert pod is not None
        doctor = release.start(pod)
        code = doctor.wait()
        phase = "Failed" if code else "Succeeded"
        kube.patch(f"{path}/status", {"status": {"phase": phase}})
        return testing.result(), doctor.log.read_text()


def running(pod: dict[str, Any] | None) -> dict[str, Any] | None:
    return pod if pod is not None and pod.get("status", {}).get("phase") == "Running" else None


def test_helm_test_passes_for_a_healthy_release(release: Release, kube: KubeApi) -> None:
    release.install()
    release.start().wait_working()
    tested, told = examine(release, kube)
    assert tested.returncode == 0, tested.stderr + told
    assert "Phase:          Succeeded" in tested.stdout
    assert "FAIL" not in told
    assert "OK    permissions: all " in told


def test_helm_test_fails_for_a_missing_table_and_shows_the_fix(release: Release, kube: KubeApi) -> None:
    release.install(settings={"INFERENCE_ENDPOINTS_TABLE_NAME": "no-such-table"})
    tested, told = examine(release, kube)
    assert tested.returncode != 0
    assert "FAIL  table: table no-such-table" in told
    assert "fix: gco-stream table create" in told
