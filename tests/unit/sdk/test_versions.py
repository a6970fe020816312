import pytest

from tunegate.sdk import versions
from tunegate.sdk.versions import API_VERSION, OLDEST_API, version_problem


def test_what_this_release_takes() -> None:
    assert OLDEST_API <= API_VERSION
    for version in range(OLDEST_API, API_VERSION + 1):
        assert version_problem(version) is None


@pytest.mark.parametrize("declared", [0, -1, "1", None, True, 1.0])
def test_what_is_no_version(declared: object) -> None:
    assert version_problem(declared) == "Its api_version is no whole number from 1 on."


def test_too_new_and_too_old_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "upgrade tunegate" in (version_problem(API_VERSION + 1) or "")
    monkeypatch.setattr(versions, "API_VERSION", 4)
    monkeypatch.setattr(versions, "OLDEST_API", 3)
    assert version_problem(3) is None
    assert "this gateway speaks 3 to 4: install a newer" in (version_problem(2) or "")
