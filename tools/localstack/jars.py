"""Writes the two small jars that LocalStack's DynamoDB expects, without a Java compiler."""

import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

_AGENT = "NoAgent"
_JAVA_8 = 52
_PUBLIC, _STATIC, _SUPER = 0x0001, 0x0008, 0x0020
_LINE_BYTES = 72
_RETURN = b"\xb1"


def pointing_jar(path: Path, main_class: str, jars: Iterable[str]) -> None:
    """Writes a jar with only a manifest, which points to the main class in `jars`, relative to this jar."""
    lines = ["Manifest-Version: 1.0", f"Main-Class: {main_class}", f"Class-Path: {' '.join(sorted(jars))}"]
    _write(path, lines, {})


def agent_jar(path: Path) -> None:
    """Writes a Java agent that does nothing."""
    _write(path, ["Manifest-Version: 1.0", f"Premain-Class: {_AGENT}"], {f"{_AGENT}.class": _agent_class()})


def _write(path: Path, manifest: list[str], classes: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "".join(_folded(line) for line in manifest) + "\n")
        for name, data in classes.items():
            jar.writestr(name, data)


def _folded(line: str) -> str:
    # The lines of a manifest have at most 72 bytes. A continuation line begins with a space.
    parts = [line[: _LINE_BYTES - 2]]
    rest = line[_LINE_BYTES - 2 :]
    step = _LINE_BYTES - 3
    parts += [f" {rest[at : at + step]}" for at in range(0, len(rest), step)]
    return "".join(f"{part}\n" for part in parts)


def _agent_class() -> bytes:
    """`public class NoAgent { public static void premain(String arguments) {} }`, compiled (JVM specification, 4)."""
    texts = [_AGENT, "java/lang/Object", "premain", "(Ljava/lang/String;)V", "Code"]
    pool = b"".join(b"\x01" + struct.pack(">H", len(text)) + text.encode() for text in texts)
    # Entries 6 and 7 are the class and its superclass. Their names are in entries 1 and 2.
    pool += b"\x07" + struct.pack(">H", 1) + b"\x07" + struct.pack(">H", 2)
    code = struct.pack(">HHI", 0, 1, len(_RETURN)) + _RETURN + struct.pack(">HH", 0, 0)
    method = struct.pack(">HHHH", _PUBLIC | _STATIC, 3, 4, 1) + struct.pack(">HI", 5, len(code)) + code
    return b"".join(
        (
            struct.pack(">IHHH", 0xCAFEBABE, 0, _JAVA_8, len(texts) + 3) + pool,
            struct.pack(">HHHHH", _PUBLIC | _SUPER, 6, 7, 0, 0),
            struct.pack(">H", 1) + method + struct.pack(">H", 0),
        )
    )
