"""A SageMaker on this machine: its API by recorded shapes, real state transitions, and containers that are processes."""

from support.sagemaker.host import LocalAccount
from support.sagemaker.server import FakeSageMaker

__all__ = ("FakeSageMaker", "LocalAccount")
