"""A Slurm on this machine: slurmrestd's API, a controller in memory, and batch scripts that bash really runs."""

from support.slurm.server import Slurmrestd

__all__ = ("Slurmrestd",)
