"""What is wrong with an installation, and what to do: for `tunegate doctor`. Looks, and changes nothing."""

from typing import Literal

from tunegate.contract.base import Wire

State = Literal["ok", "warning", "trouble"]


class Finding(Wire):
    """One thing that was looked at. `advice` is there where the state is not ok."""

    area: str
    subject: str
    state: State
    detail: str
    advice: str = ""


def ok(area: str, subject: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(area=area, subject=subject, state="ok", detail=detail)


def warning(area: str, subject: str, detail: str, advice: str) -> Finding:
    """It works, but perhaps not as it was meant."""
    return Finding(area=area, subject=subject, state="warning", detail=detail, advice=advice)


def trouble(area: str, subject: str, detail: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(area=area, subject=subject, state="trouble", detail=detail, advice=advice)
