"""docs/QUICKSTART.md, executed: every block of shell, in order, as a reader would."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.trainer_bench import rows
from tunegate.sdk.testing.gateway_process import free_port
from tunegate.trainer.tiny import make_tiny_model

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[2] / "docs/QUICKSTART.md"


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    model = tmp_path / "quickstart/model"
    corpus = [message["content"] for row in rows(200) for message in row["messages"]]
    model.parent.mkdir()
    make_tiny_model(model, corpus=corpus, hidden=64, layers=2, vocab=400)
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if "TUNEGATE" not in name}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "PROVIDER": "custom",
        "MODEL": str(model),
        "TUNEGATE_SERVER__PORT": str(port),
        "TUNEGATE_URL": f"http://127.0.0.1:{port}",
    }
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    ended = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
    said = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", ended + "\n".join(blocks)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr
    assert "adapter_model.safetensors" in said.stdout
    assert (tmp_path / "quickstart/results/first/manifest.json").exists()
