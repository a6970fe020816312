import json

from litestar.testing import AsyncTestClient

from .conftest import CANONICAL, READER, WRITER
