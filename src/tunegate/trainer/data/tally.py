"""`Tally`: how far the tokenising of a job has come, and what became of the rows so far."""

from collections.abc import Iterator

from tunegate.contract.base import Wire
from tunegate.contract.request import Objective
from tunegate.trainer.data.render import RenderCounts


class Extent(Wire):
    """How much of a split's files is whole."""

    rows: int = 0
    tokens: int = 0


class Tally(Wire):
    """Saved beside the tokens; from it the work goes on where it stopped.

    `objective` is what the job or its first row says; `file` counts the files of all data sets and `items` what was read of that one; `rows` is by file. `dropped` and
    `dropped_rows` are by reason: over_length, nothing_to_learn; of the rows the first few are named.
    """

    complete: bool = False
    file: int = 0
    items: int = 0
    rows: list[int] = []
    dropped: dict[str, int] = {}
    dropped_rows: dict[str, list[str]] = {}
    truncated: int = 0
    rendered: RenderCounts = RenderCounts()
    objective: Objective | None = None
    train: Extent = Extent()
    eval: Extent = Extent()

    def notes(self, limit: int) -> Iterator[str]:
        """What the client should know of rows that were changed or left out; `limit` is max_sequence_length."""
        if self.truncated:
            yield f"{self.truncated} example(s) were cut to max_sequence_length {limit:,}"
        reasons = {
            "over_length": f"longer than max_sequence_length {limit:,}",
            "nothing_to_learn": f"no token to learn within max_sequence_length {limit:,}",
        }
        for reason, rows in self.dropped_rows.items():
            more = ", …" if self.dropped[reason] > len(rows) else ""
            yield f"{self.dropped[reason]} example(s) dropped, {reasons[reason]}: {', '.join(rows)}{more}"
