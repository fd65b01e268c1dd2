"""The blocks of commands in the pages: which there are, and what they need that a test cannot bring."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
# What keeps a block from being run on the local control plane: an account, an engine, minutes, nodes that run images.
NEEDS = {"aws", "docker", "time", "cluster"}
# Pages whose commands tests/integration/operations/test_docs_commands.py runs in one shell; the first's last block
# comes last.
SESSION = ("start.md", "concepts.md", "development.md")
# Pages whose commands a test of their own walks through.
WALKED = {"migration.md": "tests/integration/chart/test_migration.py"}

_BLOCK = re.compile(
    r"(?:^<!-- needs: (?P<needs>[^>]*?) -->\n)?^```(?P<language>sh|console)\n(?P<text>.*?)^```\n"
    r"(?:\n^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: `missing_inputs` is empty where it can be run; `output` is what the page says that it
    prints.
    """

    page: Path
    line: int
    language: str
    text: str
    needs: str
    output: str

    @property
    def runs(self) -> bool:
        """Whether it can be run here: the others are transcripts, or need what a test has not."""
        return self.language == "sh" and not self.needs

    def script(self) -> str:
        """Its commands alone, as a shell reads them."""
        if self.language == "sh":
            return self.text
        return "".join(f"{line[2:]}\n" for line in self.text.splitlines() if line.startswith("$ "))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start("text")),
            language=match["language"],
            text=match["text"],
            needs=match["needs"] or "",
            output=match["output"] or "",
        )
        for match in _BLOCK.finditer(text)
    ]


def commands(script: str) -> list[list[str]]:
    """The simple commands of a script as words: continued lines joined, chains and pipes taken apart."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", script).splitlines():
        for part in re.split(r"&&|\|\||[|;&](?![>\d])", re.sub(r"(^|\s)#.*", "", line)):
            words = re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""", part)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words:
                found.append([word.strip("\"'") for word in words])
    return found
