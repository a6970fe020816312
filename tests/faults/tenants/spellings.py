"""Addresses and job ids written every way that somebody who wants out of his place would write them."""

import random
from urllib.parse import quote

DOTS = ("..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "．．", "․․", "..;", ".. ", "..%00", "..%09", "%c0%ae%c0%ae",  # noqa: RUF001
        "....", "...", ".", "%2e", "..%2f..", "..%5c..", "..\\..", "\\..\\..", "%u002e%u002e")  # fmt: skip
SLASHES = ("/", "//", "///", "%2f", "%2F", "%252f", "\\", "%5c", "/./", "/%2e/", "∕", "／")  # noqa: RUF001


def address(chance: random.Random, inside: str, outside: str) -> str:
    """An address somewhere between a place that the token allows and one that it does not."""
    scheme, _, rest = inside.partition("://")
    authority, _, folder = rest.partition("/")
    other_scheme, _, other = outside.partition("://")
    other_authority, _, other_folder = other.partition("/")
    slash, dots = chance.choice(SLASHES), chance.choice(DOTS)
    up = slash.join([dots] * chance.randint(1, 6))
    spoiled = chance.choice(_CHANGES)(chance, folder)
    return chance.choice(
        (
            f"{inside}/x",
            f"{inside}/data/train.jsonl",
            outside,
            f"{outside}/x",
            f"{inside}{slash}{up}{slash}{other_folder}/x",
            f"{inside}/{up}/{other_folder}",
            f"{inside}{slash}x",
            f"{inside}{chance.choice(DOTS)}/x",
            f"{inside}-2/x",
            f"{inside}.",
            f"{inside[:-1]}/x",
            f"{scheme}://{authority}/{spoiled}/x",
            f"{scheme}://{authority}/{up}/{folder}/x",
            f"{scheme}://{authority}//{folder}/x",
            f"{scheme.upper()}://{authority}/{folder}/x",
            f"{scheme}://{authority.upper()}/{folder}/x",
            f"{scheme}://{authority}./{folder}/x",
            f"{scheme}://{authority}:{chance.choice(('443', '80', '8443', ''))}/{folder}/x",
            f"{scheme}://{other_authority}@{authority}/{folder}/x",
            f"{scheme}://{authority}@{other_authority}/{folder}/x",
            f"{scheme}://{authority}%40{other_authority}/{folder}/x",
            f"{scheme}://{authority}\\@{other_authority}/{folder}/x",
            f"{scheme}://{other_authority}#{authority}/{folder}/x",
            f"{scheme}://{other_authority}?{authority}/{folder}/x",
            f"{scheme}://{other_authority}/{folder}/x?{inside}",
            f"{other_scheme}://{authority}/{folder}/x",
            f"https://{authority}.s3.amazonaws.com/{folder}/x",
            f"https://s3.amazonaws.com/{authority}/{folder}/x",
            f"{scheme}:/{authority}/{folder}/x",
            f"{scheme}:///{authority}/{folder}/x",
            f" {inside}/x",
            f"{inside}/x\t{up}",
            f"{inside}/\u202e{other_folder}",
            f"file://{authority}/{folder}/x",
            f"/{authority}/{folder}/x",
        )
    )


_CHANGES = (
    lambda chance, text: text.upper(),
    lambda chance, text: text.swapcase(),
    lambda chance, text: quote(text, safe=""),
    lambda chance, text: quote(quote(text, safe="/")),
    lambda chance, text: text.replace("a", "а"),  # noqa: RUF001 - the Cyrillic one
    lambda chance, text: text.replace("/", chance.choice(SLASHES)),
    lambda chance, text: text + chance.choice(("\u200b", "%20", ".", "%00", "~", "*")),
    lambda chance, text: chance.choice(("./", "%2e/", "/")) + text,
)


def job_id(chance: random.Random, plain: str) -> str:
    """As it stands in a path: plain mostly, else something that a careless server takes for it."""
    return chance.choice(
        (
            *[plain] * 6,
            plain.upper(),
            f"{plain}.",
            f"{plain}%00",
            f"{plain}%20",
            f"%20{plain}",
            f".%2f{plain}",
            f"x%2f..%2f{plain}",
            f"{plain}%2f",
            f"{plain};v=1",
            f"%{ord(plain[0]):02x}{plain[1:]}",
            f"%25{ord(plain[0]):02x}{plain[1:]}",
            f"{plain}%0a",
            f"{plain}'%20or%20'1'='1",
            f"{plain[:-1]}_",
            f"{plain[:-1]}%25",
            "%2a",
        )
    )
