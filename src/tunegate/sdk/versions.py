"""The version of the interface between gateway and plugins.

It is raised when a change breaks plugins, and by nothing else: new optional fields and hooks with a default do not raise it.
A gateway takes plugins of all versions from `OLDEST_API` on. What will go is told one version ahead: it warns
(DeprecationWarning) for at least half a year and one minor release, and only then `OLDEST_API` follows.
"""

API_VERSION = 1
"""What this release speaks."""
OLDEST_API = 1
"""The oldest that it still takes."""


def version_problem(declared: object) -> str | None:
    """Why a plugin that was written for version `declared` can't be used, as one sentence, or None."""
    if not isinstance(declared, int) or isinstance(declared, bool) or declared < 1:
        return "Its api_version is no whole number from 1 on."
    if declared > API_VERSION:
        return (
            f"It was written for plugin API {declared} and this gateway speaks {API_VERSION}: upgrade tunegate, or install "
            "an older release of the plugin."
        )
    if declared < OLDEST_API:
        return (
            f"It was written for plugin API {declared} and this gateway speaks {OLDEST_API} to {API_VERSION}: install a newer "
            "release of the plugin."
        )
    return None
