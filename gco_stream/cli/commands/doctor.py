"""`gco-stream doctor`: what stands in the way of the controller here, and the command that mends it."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli.errors import FAILED, USAGE
from gco_stream.cli.output import say, say_json

if TYPE_CHECKING:
    from gco_stream.admin.doctor.findings import Finding

_SYMBOLS: Final = {"fine": "ok", "doubtful": "??", "wrong": "!!"}


def doctor(
    output: Annotated[str, typer.Option("--output", "-o", help="text or json.")] = "text",
) -> None:
    """Examine settings, AWS, table, stream, cluster, permissions and leader, and say what mends what is wrong.

    It changes nothing and takes no lease. Settings come from the environment, as for `gco-stream run`; run it with the
    controller's own identity (in its pod) to examine that one's permissions. Ends with code 1 where something is wrong.

    Examples:

      gco-stream doctor

      kubectl -n gco-inference exec deploy/gco-stream -- gco-stream doctor
    """
    from gco_stream import __version__
    from gco_stream.admin.doctor.cluster_checks import check_cluster
    from gco_stream.admin.doctor.findings import CheckStatus, passed
    from gco_stream.admin.doctor.table_checks import check_table
    from gco_stream.cli.errors import CommandError
    from gco_stream.settings import load_settings

    if output not in {"text", "json"}:
        raise CommandError(f"--output: {output!r} is not allowed; allowed: text, json", USAGE)
    settings = load_settings()
    about = f"gco-stream {__version__} for {settings.region}, namespaces: {', '.join(settings.namespaces)}"
    findings = [passed("settings", about)]

    async def examine() -> None:
        for checks in (check_table(settings), check_cluster(settings)):
            async for finding in checks:
                findings.append(finding)
                print_finding(finding)

    print_finding = _print_finding if output == "text" else lambda _: None
    print_finding(findings[0])
    asyncio.run(examine())
    if output == "json":
        say_json([_as_json(finding) for finding in findings])
    worst = [finding for finding in findings if finding.status is CheckStatus.FAILED]
    if worst:
        raise CommandError(f"{len(worst)} of {len(findings)} findings are wrong", FAILED)


def _print_finding(finding: "Finding") -> None:
    say(f"{_SYMBOLS[finding.status]}  {finding.subject}: {finding.message}")
    if finding.fix:
        say(f"    -> {finding.fix}")


def _as_json(finding: "Finding") -> dict[str, str]:
    return {
        "subject": finding.subject,
        "status": str(finding.status),
        "message": finding.message,
        "fix": finding.fix,
    }
