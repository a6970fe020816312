"""Installs plugins into a folder, beside what the image has: `python install-plugins.py FOLDER [pip's arguments] PACKAGE…`.

The image's own packages stay as they are: pip refuses a plugin that needs others, and says which. FOLDER/site is what
belongs into PYTHONPATH.
"""

import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import distributions
from pathlib import Path

folder = Path(sys.argv[1])
prefix, site = folder / "prefix", folder / "site"
with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
    constraints.writelines(f"{one.name}=={one.version}\n" for one in distributions())
    constraints.flush()
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check"]
    where = ["--prefix", str(prefix), "--no-warn-script-location", "--constraint", constraints.name]
    code = subprocess.run([*pip, *where, *sys.argv[2:]], check=False).returncode
site.unlink(missing_ok=True)
site.symlink_to(sysconfig.get_path("purelib", "posix_prefix", {"base": str(prefix)}))
sys.exit(code)
