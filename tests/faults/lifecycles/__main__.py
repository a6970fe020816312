"""`python -m faults.lifecycles SEED`: one world again, with its trace."""

import sys
import tempfile
from pathlib import Path

from faults.lifecycles.world import World
from tunegate.control.sealer import Sealer

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        outcome = World(int(sys.argv[1]), path, Sealer(path / "key")).run()
    print("\n".join([*outcome.lines, outcome.trace, *outcome.violations]))
