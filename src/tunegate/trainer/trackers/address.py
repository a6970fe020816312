"""Whether the operator lets a job's tracker live at an address."""

import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tunegate.contract.training import StoragePolicy
from tunegate.egress.addresses import parse, refusal
from tunegate.egress.policy import check_url
from tunegate.sdk.errors import TunegateError
from tunegate.storage.policy import egress_policy


def check_address(kind: str, address: str, policy: StoragePolicy) -> None:
    """Hold it to the rules of the stores, names looked up. Raises TunegateError config_invalid.

    For an early answer: trackers dial by themselves, and what they dial is checked again at the socket.
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        folder = Path(unquote(parts.path)).resolve()
        if not any(folder.is_relative_to(Path(root).resolve()) for root in policy.file_roots):
            raise _refused(kind, "its folder lies outside of what the operator allows.")
        return
    rules = egress_policy(policy)
    words = check_url(address, rules)
    if words is not None:
        raise _refused(kind, words)
    if rules.proxy_url is not None:
        return  # names are looked up there
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except OSError:
        return  # the tracker will say so in its own time, which costs a note and not the job
    for *_, place in found:
        number = parse(str(place[0]))
        words = number and refusal(
            number,
            allow_private=rules.allow_private_addresses,
            allowed_networks=rules.networks(),
        )
        if words:
            raise _refused(kind, f"its host is {words}, which is not allowed.")


def _refused(kind: str, words: str) -> TunegateError:
    return TunegateError("config_invalid", f"The tracker {kind} can't be used: {words}")
