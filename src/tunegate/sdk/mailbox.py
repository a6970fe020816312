"""Where a run that can't reach the gateway leaves its claim and its events: beside the job's output. Pure."""

CLAIM_FILE = "claim.json"
"""A `ClaimRequest`, written on condition that it is not there: the first one wins, and it stays for good."""


def mailbox(output_uri: str, attempt: int) -> str:
    """The folder of one attempt; `output_uri` is the job's own and ends in `/`."""
    return f"{output_uri}attempts/{attempt}/"


def claim_uri(output_uri: str, attempt: int) -> str:
    return mailbox(output_uri, attempt) + CLAIM_FILE


def events_uri(output_uri: str, attempt: int, first: int) -> str:
    """An object with one `SequencedEvent` a line, without gaps from number `first` on: whoever has read so far knows
    the name of the next one.
    """
    return f"{mailbox(output_uri, attempt)}events-{first:010d}.ndjson"
