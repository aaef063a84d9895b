"""Formulas rewritten at one place: `X.mH -> X.mT` of `u @ u.mH` is `u @ u.mT`.

A single capital letter of a pattern stands for any expression, the same one wherever it stands.
"""

import ast
from collections.abc import Iterator
from copy import deepcopy
from functools import cache

Bound = dict[str, ast.expr]


@cache
def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _is_letter(node: object) -> bool:
    return isinstance(node, ast.Name) and len(node.id) == 1 and node.id.isupper()


def _matches(pattern: object, node: object, bound: Bound) -> bool:
    """Whether a part of a pattern is that part of a formula; the letters are then bound."""
    if isinstance(pattern, ast.Name) and _is_letter(pattern):
        if not isinstance(node, ast.expr):
            return False
        known = bound.setdefault(pattern.id, node)
        # As text: a variable is the same where it is read and where it is bound.
        return ast.unparse(known) == ast.unparse(node)
    if isinstance(pattern, list):
        if not isinstance(node, list) or len(node) != len(pattern):
            return False
        return all(_matches(x, y, bound) for x, y in zip(pattern, node, strict=True))
    if isinstance(pattern, ast.AST):
        fields = (field for field in pattern._fields if field != "ctx")
        return type(pattern) is type(node) and all(
            _matches(getattr(pattern, field), getattr(node, field), bound) for field in fields
        )
    return type(pattern) is type(node) and pattern == node


class _Filled(ast.NodeTransformer):
    """A pattern with its letters filled in."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not _is_letter(node):
            return node
        filled = deepcopy(self.bound[node.id])
        if isinstance(filled, ast.Name):
            filled.ctx = node.ctx
        return filled


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.expr]]:
    """Where an expression stands: its parent, the field there, its number in a list."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if isinstance(value, list):
                numbered = enumerate(value)
                yield from ((parent, field, i, x) for i, x in numbered if isinstance(x, ast.expr))
            elif isinstance(value, ast.expr):
                yield parent, field, None, value


def rewritten(tree: ast.Module, old: str, new: str) -> Iterator[tuple[str, str, ast.Module]]:
    """Every formula that differs from one at one place: what stood there, what stands there now.

    Args:
        tree: a module of one function.
        old: pattern of an expression.
        new: what it becomes, of the same letters.
    """
    pattern, filling = _expression(old), _expression(new)
    for place, (_, _, _, node) in enumerate(_places(tree)):
        bound: Bound = {}
        if isinstance(getattr(node, "ctx", None), ast.Store) or not _matches(pattern, node, bound):
            continue
        other = deepcopy(tree)
        parent, field, number, _ = list(_places(other))[place]
        filled = _Filled(bound).visit(deepcopy(filling))
        if number is None:
            setattr(parent, field, filled)
        else:
            getattr(parent, field)[number] = filled
        yield ast.unparse(node), ast.unparse(filled), ast.fix_missing_locations(other)
