"""What goes with a run to the cluster, as source: the nodes need Ray and nothing of the gateway.

`SOURCES` is the driver's program; `node.py` and `driver.py` share one namespace there, the driver's `__main__`, whose
classes Ray carries to the nodes by value.
"""

from importlib.resources import files


def _read(name: str) -> str:
    return (files(__name__) / name).read_text()


SOURCES = "\n".join(_read(part) for part in ("node.py", "driver.py"))
"""One program."""
BOOTSTRAP = _read("bootstrap.py")
"""The few lines of the entry point that fetch the parcel, erase it and start what is in it."""
