"""docs/PLUGINS.md's tutorial as it stands there, in a fresh environment: wheel, install, gateway, job, uninstall."""

import os
import re
import site
import subprocess
import venv
from pathlib import Path

import pytest

from tunegate.sdk.testing.gateway_process import free_port

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/PLUGINS.md").read_text()
TUTORIAL = PAGE.partition("## Tutorial")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A new environment whose pip installs into it alone; all that runs here can be imported there, nothing is downloaded."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    [packages] = folder.glob("lib/python*/site-packages")
    ours = "; ".join(f"site.addsitedir({where!r})" for where in site.getsitepackages())
    (packages / "ours.pth").write_text(f"import site; {ours}\n")
    script = folder / "bin" / "tunegate"
    script.write_text(
        f"#!{folder}/bin/python\nimport sys\nfrom tunegate.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TUNEGATE_", "PIP_", "TRAINER_"))}  # fmt: skip
    return {
        **kept,
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip's way to say: build with what is here
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "TUNEGATE_STATE_DIR": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "VIRTUAL_ENV": str(folder),
    }


def shell(script: str, environment: dict[str, str], folder: Path) -> str:
    """All that it prints. It must end well, line by line."""
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=folder, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_tutorial(environment: dict[str, str], tmp_path: Path) -> None:
    """In one shell, as a reader would; only port and folder of the result are this test's own."""
    blocks = re.findall(r"```sh\n(.*?)```", TUTORIAL, re.DOTALL)
    assert len(blocks) == 5
    step = "\necho '=== next'\n"
    script = step.join(blocks).replace("8080", str(free_port())).replace("/tmp", str(tmp_path))
    script = script.replace("python -m pytest", f"sed -i s:/tmp:{tmp_path}: job.json\npython -m pytest")  # fmt: skip
    stop = "trap 'kill $gateway 2> /dev/null || true' EXIT\n"
    built, right, serving, ran, gone = shell(stop + script, environment, tmp_path).split("=== next\n")  # fmt: skip
    assert "tunegate-shout/src/tunegate_shout/backend.py" in built
    assert "Successfully installed tunegate-shout-0.1.0" in built
    assert re.search(r"\d+ passed", right)
    assert "ok      survives every request" in right
    assert re.search(r"backend +shout +ok +0.1.0 +tunegate-shout", serving)
    assert len(re.findall(r"^shout +ok", serving, re.MULTILINE)) == 1, "the gateway lists it"
    assert re.search(r"status +succeeded", ran)
    assert "step 3 of 3" in ran
    assert '{"trained": "acme/small", "steps": 3}' in ran
    assert "Successfully uninstalled tunegate-shout-0.1.0" in gone
    assert not re.search(r"^backend +shout", gone, re.MULTILINE)
    assert not (ROOT / "tunegate-shout").exists()


def test_a_new_launcher_works_at_once(environment: dict[str, str], tmp_path: Path) -> None:
    said = shell(
        "tunegate plugin new politely --launcher\ncd tunegate-politely\n"
        "pip wheel --no-deps --wheel-dir dist .\npip install --no-deps dist/*.whl\n"
        "python -m pytest -q\n"
        "tunegate plugin check tunegate-politely --set gpus=0\n"
        "tunegate plugins\npip uninstall --yes tunegate-politely\n",
        environment,
        tmp_path,
    )
    assert re.search(r"\d+ passed", said)
    assert "ok      leaves no process behind" in said
    assert "failed" not in said
    assert re.search(r"launcher +politely +ok +0.1.0 +tunegate-politely", said)


def test_the_page_speaks_of_this_release() -> None:
    from tunegate.sdk.versions import API_VERSION

    assert f"This release speaks version {API_VERSION}." in PAGE
