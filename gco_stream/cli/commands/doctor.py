"""`gco-stream doctor`: checks the controller's environment and prints a fix for each problem."""

import asyncio
from typing import TYPE_CHECKING, Final

from gco_stream.cli.errors import FAILED
from gco_stream.cli.output import Format, TextOutputOption, say, say_json

if TYPE_CHECKING:
    from gco_stream.admin.doctor.findings import Finding

_WIDTH: Final = len("WARN")


def doctor(
    form: TextOutputOption = Format.TEXT,
) -> None:
    """Check settings, AWS, table, stream, cluster, permissions and leader, and print a fix for each problem.

    Each check is OK, WARN (the controller works with limitations, or the check was not possible) or FAIL (the
    controller does not work). The exit code is 1 if a check fails. The command changes nothing and takes no Lease.

    Settings come from the environment, as for `gco-stream run`. To check the permissions of the controller, run the
    command with its identity, for example in its pod.

    The JSON is a list with `check`, `status` (ok, warn or fail), `message` and `fix` for each check.

    Examples:

      gco-stream doctor

      kubectl -n gco-inference exec deploy/gco-stream -- gco-stream doctor
    """
    from gco_stream import __version__
    from gco_stream.admin.doctor.cluster_checks import check_cluster
    from gco_stream.admin.doctor.findings import CheckStatus, ok
    from gco_stream.admin.doctor.removal_checks import check_removals
    from gco_stream.admin.doctor.table_checks import check_table
    from gco_stream.cli.errors import CommandError
    from gco_stream.settings import load_settings

    settings = load_settings()
    summary = f"gco-stream {__version__}, region {settings.region}, namespaces {', '.join(settings.namespaces)}"
    findings = [ok("settings", summary)]

    async def run_checks() -> None:
        for checks in (check_table(settings), check_cluster(settings), check_removals(settings)):
            async for finding in checks:
                findings.append(finding)
                show(finding)

    show = _show if form is Format.TEXT else lambda _: None
    show(findings[0])
    asyncio.run(run_checks())
    if form is Format.JSON:
        say_json([_as_json(finding) for finding in findings])
    failed = sum(finding.status is CheckStatus.FAIL for finding in findings)
    if failed:
        raise CommandError(f"{failed} of {len(findings)} checks failed", FAILED)


def _show(finding: "Finding") -> None:
    say(f"{finding.status.upper():<{_WIDTH}}  {finding.check}: {finding.message}")
    if finding.fix:
        say(f"{'':<{_WIDTH}}  fix: {finding.fix}")


def _as_json(finding: "Finding") -> dict[str, str]:
    return {
        "check": finding.check,
        "status": str(finding.status),
        "message": finding.message,
        "fix": finding.fix,
    }
