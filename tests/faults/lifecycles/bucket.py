"""Where results go: a manifest per job, which a newer claim may replace and an older one may not."""

from typing import NamedTuple


class Published(NamedTuple):
    """A manifest as it stands."""

    attempt: int
    fence: int
    run_uid: str


class Bucket:
    """By job."""

    def __init__(self) -> None:
        self.manifests: dict[str, Published] = {}

    def publish(self, uid: str, manifest: Published) -> bool:
        """Whether it stands; a fence below the one that is there is refused."""
        there = self.manifests.get(uid)
        if there is not None and there.fence > manifest.fence:
            return False
        self.manifests[uid] = manifest
        return True
