"""Attribute docstrings: the string under a field says what it is for. Python drops them, so the source is read."""

import ast
import inspect
from textwrap import dedent


def attribute_docs(owner: type) -> dict[str, str]:
    """The docstring under each annotated field of a class and of those of ours that it extends, on one line."""
    found: dict[str, str] = {}
    for part in reversed(owner.__mro__):
        if part.__module__.partition(".")[0] == "tunegate":
            found |= _own_docs(part)
    return found


def _own_docs(owner: type) -> dict[str, str]:
    tree = ast.parse(dedent(inspect.getsource(owner))).body[0]
    if not isinstance(tree, ast.ClassDef):
        return {}
    found: dict[str, str] = {}
    for field, after in zip(tree.body, tree.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
            case _:
                pass
    return found


def first_sentence(owner: type) -> str:
    """The first line of a class's docstring."""
    return (owner.__doc__ or "").strip().split("\n")[0]
