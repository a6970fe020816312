"""tunegate: one async gateway for fine-tuning language models on your own machines."""

from importlib.metadata import version

__version__ = version("tunegate")
