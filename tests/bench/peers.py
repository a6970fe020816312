"""Where the peers live: each in an environment of its own under build/, on top of this one's torch, pinned."""

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

from tests.bench import report

FOLDER = report.BUILD / "peers"
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Recipe:
    """Packages that shadow or complete this environment's, without their dependencies."""

    packages: tuple[str, ...]
    empty_modules: tuple[str, ...] = ()
    """Imported by the peer, never used in these runs, and too large to install."""


RECIPES = {
    "trl": Recipe((
        "datasets==5.2.0", "dill==0.4.1", "multiprocess==0.70.19", "pandas==3.1.1", "trl==1.16.0",
        "xxhash==4.1.0",
    )),
    "unsloth": Recipe((
        "datasets==5.2.0", "dill==0.4.1", "docstring_parser==0.18.0", "hf_transfer==0.1.9",
        "json5==0.17.3", "multiprocess==0.70.19", "nest_asyncio==1.6.0", "pandas==3.1.1",
        "sentencepiece==0.2.3", "shtab==1.13.0", "trl==1.16.0", "typeguard==4.6.0", "tyro==1.0.17",
        "unsloth==2026.10.9", "unsloth_zoo==2026.10.9", "xxhash==4.1.0",
    )),
    "llamafactory": Recipe((
        "accelerate==1.11.0", "antlr4_python3_runtime==4.9.3", "av==16.0.0", "contourpy==1.3.3",
        "cycler==0.12.1", "datasets==4.0.0", "dill==0.3.8", "docstring_parser==0.18.0",
        "einops==0.8.2", "fastapi==0.165.0", "fire==0.7.1", "fonttools==4.68.0",
        "fsspec==2025.3.0", "huggingface_hub==1.33.0", "kiwisolver==1.5.1", "llamafactory==0.9.5",
        "matplotlib==3.11.2", "multiprocess==0.70.16", "omegaconf==2.4.0", "pandas==3.1.1",
        "peft==0.18.1", "pyparsing==3.3.3", "scipy==1.17.1", "sentencepiece==0.2.3",
        "shtab==1.13.0", "sse_starlette==3.7.0", "starlette==1.10.0", "termcolor==3.3.0",
        "tiktoken==0.14.0", "tokenizers==0.22.2", "transformers==5.6.0", "trl==0.24.0",
        "typeguard==4.6.0", "tyro==0.8.14", "xxhash==4.1.0",
    ), empty_modules=("torchaudio",)),
}  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """One way to run one peer: `script` in the environment `home` (None: this one)."""

    script: str
    mode: str
    home: str | None = None

    def argv(self, model: Path, rows: Path, dtype: str) -> list[str]:
        python = sys.executable if self.home is None else str(_python(self.home))
        return [python, str(HERE / self.script), str(model), str(rows), dtype, self.mode]


PEERS = {
    "trainer_padding": Peer("peer_transformers.py", "padding"),
    "trainer_flattening": Peer("peer_transformers.py", "flattening"),
    "trl_packing": Peer("peer_trl.py", "packing", "trl"),
    "trl_packing_pairs": Peer("peer_trl.py", "packing_pairs", "trl"),
    "trl_default": Peer("peer_trl.py", "default", "trl"),
    "unsloth_padding_free": Peer("peer_unsloth.py", "padding_free", "unsloth"),
    "llamafactory_default": Peer("peer_llamafactory.py", "default", "llamafactory"),
}


def install(name: str) -> None:
    """Make the peer's environment, if it is not there as the recipe has it."""
    recipe, home = RECIPES[name], FOLDER / name
    done = home / "recipe.txt"
    if done.is_file() and done.read_text() == repr(recipe):
        return
    print(f"installing the peer {name}", flush=True)
    venv.create(home, clear=True)
    packages = next(home.glob("lib/python*/site-packages"))
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for module in recipe.empty_modules:
        (packages / f"{module}.py").touch()
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(_python(name)), "install", "--quiet"]
        + ["--disable-pip-version-check", "--no-deps", *recipe.packages],
        check=True,
    )
    done.write_text(repr(recipe))


def _python(home: str) -> Path:
    return FOLDER / home / "bin" / "python"
