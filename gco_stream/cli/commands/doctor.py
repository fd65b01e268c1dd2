"""`gco-stream doctor`: checks the controller's environment and prints a fix for each problem."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli.errors import FAILED, USAGE
from gco_stream.cli.output import say, say_json

if TYPE_CHECKING:
    from gco_stream.admin.doctor.findings import Finding

_WIDTH: Final = len("WARN")


def doctor(
    output: Annotated[str, typer.Option("--output", "-o", help="Output format: text or json.")] = "text",
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
    from gco_stream.admin.doctor.table_checks import check_table
    from gco_stream.cli.errors import CommandError
    from gco_stream.settings import load_settings

    if output not in {"text", "json"}:
        raise CommandError(f"--output: invalid value {output!r}: must be text or json", USAGE)
    settings = load_settings()
    summary = f"gco-stream {__version__}, region {settings.region}, namespaces {', '.join(settings.namespaces)}"
    findings = [ok("settings", summary)]

    async def run_checks() -> None:
        for checks in (check_table(settings), check_cluster(settings)):
            async for finding in checks:
                findings.append(finding)
                show(finding)

    show = _show if output == "text" else lambda _: None
    show(findings[0])
    asyncio.run(run_checks())
    if output == "json":
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
