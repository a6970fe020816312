"""Python, and which parts of tunegate are installed here."""

import platform
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from tunegate import __version__
from tunegate.doctor import Finding, ok, trouble

AREA = "installation"
PARTS: dict[str, tuple[str, ...]] = {
    "client": ("httpx",),
    "gateway": ("litestar", "apsw", "uvicorn", "structlog", "cryptography", "jwt"),
    "storage": ("aioboto3", "aiohttp"),
    "trainer": ("torch", "transformers", "peft", "safetensors", "pyarrow", "tokenizers"),
    "postgres": ("psycopg", "psycopg_pool"),
    "kubernetes": ("kubernetes_asyncio",),
    "otel": ("opentelemetry",),
    "testing": ("pytest", "pytest_asyncio", "hypothesis"),
}
"""Extras, and modules that come with each."""
_OLDEST = (3, 11)


def is_whole(part: str) -> bool:
    """Whether all of an extra is here."""
    return not _missing(part)


def check_installation() -> Iterator[Finding]:
    python = f"Python {platform.python_version()} in {sys.prefix}"
    if sys.version_info < _OLDEST:
        yield trouble(AREA, "python", python, "tunegate needs Python 3.11 or newer")
    else:
        yield ok(AREA, "python", python)
    yield ok(AREA, "tunegate", f"{__version__}; installed parts: {', '.join(filter(is_whole, PARTS)) or 'none'}")  # fmt: skip
    for part, modules in PARTS.items():
        missing = _missing(part)
        if missing and len(missing) < len(modules) and part != "storage":
            yield trouble(AREA, part, f"only half of it is here: {', '.join(missing)} missing", f"pip install 'tunegate[{part}]', or ignore this if it is not wanted")  # fmt: skip


def _missing(part: str) -> list[str]:
    return [name for name in PARTS[part] if find_spec(name) is None]
