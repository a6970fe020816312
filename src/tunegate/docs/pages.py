"""All generated files by name; the tests compare them with what lies in the repository."""

from pathlib import Path

import msgspec

from tunegate.docs.api import fill_page
from tunegate.docs.chart import render_page, render_schema
from tunegate.docs.cli import render_cli
from tunegate.docs.config import render_config
from tunegate.docs.errors import render_errors
from tunegate.docs.postman import render_collection
from tunegate.docs.settings_page import render_settings
from tunegate.http.app import create_routes


def render_all(root: Path) -> dict[str, str]:
    """File name below `root` to its text. The hand-written parts of API_SPEC.md are read from there."""
    app = create_routes()
    collection = msgspec.json.format(msgspec.json.encode(render_collection(app))).decode()
    spec = "docs/API_SPEC.md"
    return {
        "config/gateway.toml": render_config(),
        "deploy/helm/tunegate/values.schema.json": render_schema(root),
        "docs/CLI.md": render_cli(),
        "docs/ERRORS.md": render_errors(),
        "docs/HELM.md": render_page(root),
        "docs/SETTINGS.md": render_settings(),
        spec: fill_page((root / spec).read_text(), app),
        "docs/postman/tunegate.postman_collection.json": collection + "\n",
    }
