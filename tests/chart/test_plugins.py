"""The init step that installs plugins, run as the cluster would, beside the packages of this environment."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from chart.conftest import Render, of_kind
from tunegate import __version__

LIST = "from importlib.metadata import entry_points; print(*entry_points(group='tunegate.backends').names)"


def wheel(folder: Path, name: str, needs: str) -> None:
    """A package with one backend and one requirement."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "class Backend: ...\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {needs}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[tunegate.backends]\n{name} = {name}:Backend\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files)
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


class InitStep:
    """With its volume and an index of its own below a folder."""

    def __init__(self, home: Path, render: Render) -> None:
        self.index = home / "index"
        self.index.mkdir()
        self._folder = home / "plugins"
        self._render = render

    def run(self, package: str) -> "subprocess.CompletedProcess[str]":
        arguments = f"plugins.pipArguments={{--no-index,--find-links,{self.index}}}"
        manifests = self._render("--set", f"plugins.packages={{{package}}}", "--set", arguments)
        (deployment,) = of_kind(manifests, "Deployment")
        (step,) = deployment["spec"]["template"]["spec"]["initContainers"]
        python, *command = [*step["command"], *step["args"]]
        assert python == "python"
        here = [str(self._folder) if word == "/plugins" else word for word in command]
        return subprocess.run([sys.executable, *here], capture_output=True, text=True, check=False)

    def backends(self) -> list[str]:
        """What a gateway with the volume would find."""
        environment = {"PYTHONPATH": str(self._folder / "site")}
        done = subprocess.run(
            [sys.executable, "-c", LIST],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()


@pytest.fixture
def step(tmp_path: Path, render: Render) -> InitStep:
    return InitStep(tmp_path, render)


def test_a_plugin_is_found_and_tunegate_stays_what_it_is(step: InitStep) -> None:
    wheel(step.index, "shout", "tunegate>=0.1")
    for _ in range(2):  # a node may run the step of the same pod again
        done = step.run("shout")
        assert done.returncode == 0, done.stderr
    assert {"shout", "echo"} <= set(step.backends())


def test_one_that_needs_another_tunegate_is_refused_in_words(step: InitStep) -> None:
    wheel(step.index, "shout", "tunegate>=99")
    done = step.run("shout")
    assert done.returncode != 0
    assert f"tunegate=={__version__}" in done.stdout + done.stderr
    assert "shout" not in step.backends()
