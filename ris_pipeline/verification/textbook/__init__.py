"""Textbook formulas with one slip each: what somebody wrote for what he meant.

Other mistakes are known by name. Here the formulas are known, and what becomes of a formula when
one of its signs, axes, factors or functions is another.
"""

import ast
import builtins
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.scene.array import Panel
from ris_pipeline.verification.adapters import grid_of
from ris_pipeline.verification.bookkeeping_mistakes import as_epoch, as_norm
from ris_pipeline.verification.mistakes import Mistake
from ris_pipeline.verification.textbook import _matrix_forms
from ris_pipeline.verification.textbook._array_forms import ARRAY_FORMS
from ris_pipeline.verification.textbook._counting_forms import COUNTING_FORMS
from ris_pipeline.verification.textbook._edits import EDITS, SUMS
from ris_pipeline.verification.textbook._matrix_forms import MATRIX_FORMS, Form
from ris_pipeline.verification.textbook._named_edits import NAMED_EDITS
from ris_pipeline.verification.textbook._rewriting import rewritten

FORMS = {**MATRIX_FORMS, **ARRAY_FORMS, **COUNTING_FORMS}
"""By the names of `target.places()`."""


EVERY = (*NAMED_EDITS, *EDITS, *SUMS)
"""The slips, what says most of a formula first."""

Called = tuple[Callable[..., Any], ...]
"""A form, called as ours is in one way or several."""


def _from_panel(form: Form) -> Called:
    by_shape = "shape" in inspect.signature(form).parameters

    def vector(panel: Panel, *where: Tensor) -> Tensor:
        plain = grid_of(panel) if by_shape else (panel.positions,)
        return form(*plain, *where[:3], panel.wavelength)

    return (vector,)


def _from_runs(form: Form) -> Called:
    return (lambda matrix, runs: form(matrix, runs.shape[-1]),)


def _from_gradients(form: Form) -> Called:
    """In double precision, and in that of the gradients."""
    wide = as_norm(lambda gradients: form([one.to(torch.complex128) for one in gradients]))
    return wide, as_norm(form)


_CALLED_OTHERWISE: dict[str, Callable[[Form], Called]] = {
    "steering_vector": _from_panel,
    "spatial_smoothing": _from_runs,
    "gradient_norm": _from_gradients,
    "run_epoch": lambda form: (as_epoch(form),),
}
"""How a plain form is called as ours."""


def as_ours(name: str, form: Form) -> Called:
    """A form, called as ours of that name."""
    return _CALLED_OTHERWISE.get(name, lambda plain: (plain,))(form)


@cache
def slips(name: str) -> tuple[Mistake, ...]:
    """Every formula that is one slip away from the textbook's; none for a name without formulas."""
    return tuple(slip for form in FORMS.get(name, ()) for slip in _of_form(name, form))


def _of_form(name: str, form: Form) -> Iterator[Mistake]:
    tree = formula(form)
    seen = {ast.unparse(tree)}
    for edit in EVERY:
        if edit.names and name not in edit.names:
            continue
        for old, new, other in rewritten(tree, edit.old, edit.new):
            text = ast.unparse(other)
            if text not in seen and not _loaded(other) - _known(tree):
                seen.add(text)
                story = f"As with `{new}` for `{old}` in a textbook's formula."
                called = as_ours(name, _made(other, form))
                yield from (Mistake(edit.cause, story, function) for function in called)


def _loaded(tree: ast.Module) -> set[str]:
    return {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


def _known(tree: ast.Module) -> set[str]:
    """Names that an expression may be made of: those of the formula, and of what it is written
    with."""
    nodes = list(ast.walk(tree))
    own = {node.id for node in nodes if isinstance(node, ast.Name)}
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    return own | arguments | set(vars(_matrix_forms)) | set(vars(builtins))


def formula(form: Form) -> ast.Module:
    """What it says, without its types."""
    tree = ast.parse(inspect.getsource(form))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return tree


def _made(tree: ast.Module, form: Form) -> Form:
    """The function that a tree defines, among the names of the slips and of its form."""
    names = {**vars(_matrix_forms), **form.__globals__}
    exec(compile(tree, "<slip>", "exec"), names)
    made: Form = names[form.__name__]
    return made
