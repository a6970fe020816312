"""The checks that backends on the shared trainer have in common: small ones, to be picked from.

Each is a generator of findings over one part of the request; `collect` makes a `Review` of any number of them.
"""

from collections.abc import Iterable

from tunegate.contract.problems import Ignored, Problem
from tunegate.sdk.backend import Review

Finding = Problem | Ignored | str
"""A problem, a field without effect, or a note for the client."""


def collect(*streams: Iterable[Finding]) -> Review:
    """One review of all findings, each said once, in order."""
    findings = list(dict.fromkeys(finding for stream in streams for finding in stream))
    return Review(
        problems=[finding for finding in findings if isinstance(finding, Problem)],
        ignored=[finding for finding in findings if isinstance(finding, Ignored)],
        notes=[finding for finding in findings if isinstance(finding, str)],
    )
