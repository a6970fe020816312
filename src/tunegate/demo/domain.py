"""The demo's small world: payments to be reviewed, by fixed rules, in two house styles.

`plain` is what the base model learns in the full fine-tuning: reviews in plain words, and a handbook that says how
one bank's desk words each verdict. `desk` is what the adapters learn on top: reviews in the desk's own words.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Style = Literal["plain", "desk"]

CHANNELS = ("wire", "cash deposit", "card payment", "crypto exchange")
COUNTRIES = ("France", "Japan", "Canada", "Norway", "Ruritania", "Freedonia")
HIGH_RISK_COUNTRIES = frozenset({"Ruritania", "Freedonia"})
AMOUNTS_EUR = (40, 250, 900, 3200, 9700, 9900, 15000, 48000)
HISTORIES = ("known customer", "new account")

PLAIN = {
    "structuring": "High risk: the amount lies just below the reporting limit.",
    "country": "High risk: the country is on the watch list.",
    "anonymous": "Medium risk: a large sum through a channel that hides its source.",
    "new": "Medium risk: a large sum on a new account.",
    "none": "Low risk: nothing unusual.",
}
DESK = {
    "structuring": "BLOCK / R1 / file a report today",
    "country": "BLOCK / R2 / ask compliance",
    "anonymous": "HOLD / R3 / ask for the source of funds",
    "new": "HOLD / R4 / call the customer",
    "none": "RELEASE / R0 / no action",
}


@dataclass(frozen=True)
class Payment:
    """One payment as a reviewer sees it."""

    channel: str
    amount_eur: int
    country: str
    history: str

    def question(self) -> str:
        return f"Review: {self.channel} of {self.amount_eur} EUR to {self.country}, {self.history}."

    def rule(self) -> str:
        """The first rule that fits."""
        if 9500 <= self.amount_eur < 10000:
            return "structuring"
        if self.country in HIGH_RISK_COUNTRIES:
            return "country"
        if self.channel in {"cash deposit", "crypto exchange"} and self.amount_eur > 10000:
            return "anonymous"
        if self.history == "new account" and self.amount_eur > 10000:
            return "new"
        return "none"

    def answer(self, style: Style) -> str:
        return (PLAIN if style == "plain" else DESK)[self.rule()]


PROBE = Payment("wire", 9900, "Canada", "new account")
"""Shown before and after; never part of the data."""


def payments(seed: int) -> Iterator[Payment]:
    """An endless, repeatable run of payments, PROBE left out."""
    chance = random.Random(seed)  # noqa: S311 - a data set, not a secret
    while True:
        payment = Payment(
            chance.choice(CHANNELS),
            chance.choice(AMOUNTS_EUR),
            chance.choice(COUNTRIES),
            chance.choice(HISTORIES),
        )
        if payment != PROBE:
            yield payment


def chat(question: str, answer: str) -> dict[str, object]:
    """A row as the launcher's users upload it."""
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def rows(count: int, style: Style, seed: int) -> list[dict[str, object]]:
    """Reviews in one style; every fourth plain row is a line of the handbook."""
    found: list[dict[str, object]] = []
    for number, payment in zip(range(count), payments(seed), strict=False):
        if style == "plain" and number % 4 == 0:
            found.append(chat(f"Handbook: {payment.answer('plain')}", payment.answer("desk")))
        else:
            found.append(chat(payment.question(), payment.answer(style)))
    return found


def corpus() -> list[str]:
    """Text for the tokenizer: both styles, so that it knows all words."""
    return [
        f"{payment.question()} {payment.answer('plain')} {payment.answer('desk')}"
        for payment, _ in zip(payments(0), range(2000), strict=False)
    ]
