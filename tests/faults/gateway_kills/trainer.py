"""The interpreter that runs are given: the echo trainer, with a journal of its claims and results beside this file's copy.

Copied as a program of its own, so that a trainer starts with the standard library alone.
"""

import os
import stat
import sys
from pathlib import Path

_PROGRAM = """\
#!{python} -IS
import os, sys
sys.path.insert(0, {plugin!r})
from tunegate_echo import __main__ as echo
from tunegate_echo.gateway import Gateway
journal = os.open({journal!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
claim, publish = Gateway.claim, echo.publish
who = []
def claim_and_tell(self):
    claim(self)
    who[:] = [self._ticket["attempt_id"], self._run_uid]
    os.write(journal, "claimed {{}} {{}}\\n".format(*who).encode())
def publish_and_tell(*args):
    done = publish(*args)
    os.write(journal, "published {{}} {{}}\\n".format(*who).encode())
    return done
Gateway.claim, echo.publish = claim_and_tell, publish_and_tell
sys.exit(echo.main(echo.Path(sys.argv[3])))
"""
PLUGIN = Path(__file__).parents[3] / "plugins" / "echo" / "src"


def write_program(path: Path, journal: Path) -> Path:
    """Executable; takes `-m tunegate_echo JOB` as an interpreter would."""
    text = _PROGRAM.format(python=sys.executable, plugin=str(PLUGIN), journal=str(journal))
    path.write_text(text)
    path.chmod(stat.S_IRWXU)
    return path


def claims(journal: Path) -> list[tuple[str, str, str]]:
    """What was done, in which attempt, by which run."""
    if not journal.exists():
        return []
    lines = (line.split() for line in journal.read_text().splitlines())
    return [(word, attempt_id, run_uid) for word, attempt_id, run_uid in lines]


def processes_of(home: Path) -> list[int]:
    """Supervisors and trainers of a lane that live now."""
    found: list[int] = []
    mark = os.fsencode(home / "state" / "runs")
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found
