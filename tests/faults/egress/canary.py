"""Values that must not be found, and the search for them in any shape."""

import base64
import itertools
import re

CORE = "cAnArY7q"
"""It stands at both ends of each canary, so that a value cut short is found too. No encoding of text changes it."""


class Canaries:
    """A new one for every field."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.planted = 0

    def new(self) -> str:
        """With the characters that URLs, JSON and base64 write in other ways."""
        self.planted += 1
        return f'{CORE}/{next(self._numbers)}+"Zq\\={CORE}'


def _shapes() -> set[bytes]:
    raw = CORE.encode()
    found = {raw, raw.hex().encode(), raw[::-1], CORE.encode("utf-16-le")}
    for shift in range(3):
        padded = bytes(shift) + raw
        whole = len(padded) // 3 * 3
        # Only the characters that hang on these bytes alone, wherever the value begins.
        text = base64.b64encode(padded[:whole])[-(-shift * 4 // 3) :]
        found |= {text, text.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


_LEAK = re.compile(b"|".join(re.escape(shape) for shape in sorted(_shapes())), re.IGNORECASE)


def leaks(places: dict[str, bytes]) -> list[str]:
    """Where a canary lies, with what stands around it."""
    found: list[str] = []
    for place, text in places.items():
        match = _LEAK.search(text)
        if match is not None:
            around = text[max(0, match.start() - 80) : match.end() + 40]
            found.append(f"{place}: {around!r}")
    return found
