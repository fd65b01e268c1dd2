"""`gco-stream doctor`: what stands in the way of the controller here, and the command that mends it."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gco_stream.cli.errors import FAILED, USAGE
from gco_stream.cli.output import say, say_json

if TYPE_CHECKING:
    from gco_stream.admin.doctor.findings import Finding

_SIGNS: Final = {"fine": "ok", "doubtful": "??", "wrong": "!!"}


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
    from gco_stream.admin.doctor.cluster_checks import examine_cluster
    from gco_stream.admin.doctor.findings import Verdict, fine
    from gco_stream.admin.doctor.table_checks import examine_table
    from gco_stream.cli.errors import Failure
    from gco_stream.settings import load_settings

    if output not in {"text", "json"}:
        raise Failure(f"--output: {output!r} is not allowed; allowed: text, json", USAGE)
    settings = load_settings()
    about = f"gco-stream {__version__} for {settings.region}, namespaces: {', '.join(settings.namespaces)}"
    findings = [fine("settings", about)]

    async def examine() -> None:
        for examination in (examine_table(settings), examine_cluster(settings)):
            async for finding in examination:
                findings.append(finding)
                tell(finding)

    tell = _tell if output == "text" else lambda _: None
    tell(findings[0])
    asyncio.run(examine())
    if output == "json":
        say_json([_as_json(finding) for finding in findings])
    worst = [finding for finding in findings if finding.verdict is Verdict.WRONG]
    if worst:
        raise Failure(f"{len(worst)} of {len(findings)} findings are wrong", FAILED)


def _tell(finding: "Finding") -> None:
    say(f"{_SIGNS[finding.verdict]}  {finding.subject}: {finding.said}")
    if finding.mend:
        say(f"    -> {finding.mend}")


def _as_json(finding: "Finding") -> dict[str, str]:
    return {
        "subject": finding.subject,
        "verdict": str(finding.verdict),
        "said": finding.said,
        "mend": finding.mend,
    }
