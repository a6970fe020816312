"""`--full-campaign`: campaigns at full length; without it the share that every run of the tests can afford."""

import os

import pytest

from faults.report import FULL


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full-campaign", action="store_true", help="fault campaigns at full length")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--full-campaign", default=False):
        os.environ[FULL] = "1"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A campaign in full takes hours."""
    if config.getoption("--full-campaign", default=False):
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
