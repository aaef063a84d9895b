"""Formulas with one slip: the formulas are right, their slips are found and named."""

import ast

import numpy as np
import pytest
import torch

from ris_pipeline.spectral import hermitize
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.diagnosis import diagnose
from ris_pipeline.verification.fixed_cases import answer, fixed_cases, same_numbers
from ris_pipeline.verification.implementation import implementation
from ris_pipeline.verification.laws import LawResult, Outcome
from ris_pipeline.verification.target import TARGET, DoesNotApply
from ris_pipeline.verification.textbook import EVERY, FORMS, as_ours, formula, slips
from ris_pipeline.verification.textbook._rewriting import rewritten


def usual_cases(name):
    """Cases that are not out of the way; of steering vectors the first of three wavefronts."""
    cases = [case for case in fixed_cases(name) if not case.symptoms and case.eases is None]
    return cases[::3] if name == "steering_vector" else cases


@pytest.mark.parametrize(
    ("name", "form"), [(name, form) for name, forms in FORMS.items() for form in forms]
)
def test_a_formula_is_right_before_it_slips(name, form):
    ours = getattr(TARGET, name)
    for function in as_ours(name, form):
        for case in usual_cases(name):
            assert same_numbers(answer(case, function), answer(case, ours)), case.where


@pytest.mark.parametrize("name", FORMS)
def test_slips_are_of_numbers(name):
    """A slip fails as a function of numbers does, and most of them answer."""
    cases = usual_cases(name)[:3] or fixed_cases(name)[:3]
    answered = [any(_answers(case, slip.function) for case in cases) for slip in slips(name)]
    assert len(answered) > 20
    assert sum(answered) > 0.6 * len(answered)


def _answers(case, function):
    try:
        return answer(case, function) is not None
    except DoesNotApply:
        return False


@pytest.mark.parametrize("edit", EVERY, ids=lambda edit: f"{edit.old} -> {edit.new}")
def test_every_slip_can_be_made_somewhere(edit):
    names = edit.names or tuple(FORMS)
    trees = (formula(form) for name in names for form in FORMS[name])
    assert any(True for tree in trees for _ in rewritten(tree, edit.old, edit.new))


def texts(source, old, new):
    return [ast.unparse(tree) for *_, tree in rewritten(ast.parse(source), old, new)]


def test_a_formula_is_rewritten_at_one_place_at_a_time():
    assert texts("y = u.mH @ u.mH", "X.mH", "X.mT") == ["y = u.mT @ u.mH", "y = u.mH @ u.mT"]
    assert texts("y = a - a", "X - X", "X") == ["y = a"]
    assert texts("y = a - b", "X - X", "X") == []
    assert texts("y = v[..., :k]", "X[..., :K]", "X[..., K:]") == ["y = v[..., k:]"]
    assert texts("y = (a + b) / 2", "X / 2", "X") == ["y = a + b"]
    assert texts("y = sum(f(g) for g in x)", "sum(f(G) for G in X)", "max(f(G) for G in X)") == [
        "y = max((f(g) for g in x))"
    ]


def test_what_is_written_to_is_no_formula():
    assert texts("k = k + 1", "k", "k - 1") == ["k = k - 1 + 1"]


def exponent_left_out(matrix):
    values, vectors = np.linalg.eigh((matrix + matrix.conj().swapaxes(-1, -2)) / 2)
    return (vectors * values[..., None, :]) @ vectors.conj().swapaxes(-1, -2)


def moduli_before_squares(matrix, angles):
    part = (matrix + matrix.mH) / 2
    n = part.shape[-1]
    phase = torch.pi * torch.arange(n, dtype=torch.float64)[:, None] * angles.sin()
    values, vectors = torch.linalg.eigh(part)
    root = vectors * values.clamp_min(0).sqrt()[..., None, :]
    return (root.mH @ torch.exp(1j * phase)).abs().sum(-2) ** 2 / n**2


def one_mean_for_all_axes(shape, spacing, azimuth, elevation, distance, wavelength):
    columns, rows = shape
    index = np.arange(columns * rows)
    grid = np.stack((index % columns, index // columns, 0 * index), -1)
    places = grid * np.array([spacing[0], spacing[1], 0.0])
    places = places - places.mean()
    across = np.cos(elevation) * np.sin(azimuth)
    source = np.array([across, np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])
    ways = np.linalg.norm(distance * source - places, axis=-1)
    return np.exp(2j * np.pi / wavelength * (distance - ways)) / np.sqrt(len(places))


def added_for_subtracted(matrix, k):
    values = torch.linalg.eigvalsh(hermitize(matrix))
    return torch.stack([values[..., -k], values[..., -k - 1]], -1).sum(-1)


@pytest.mark.parametrize(
    ("name", "function", "cause"),
    [
        ("matrix_sqrt", exponent_left_out, Cause.ROOT),
        ("ula_bartlett", moduli_before_squares, Cause.STATISTIC),
        ("steering_vector", one_mean_for_all_axes, Cause.OFF_CENTRE),
        ("eigengap", added_for_subtracted, Cause.SIGN),
    ],
)
def test_a_slip_is_named(name, function, cause):
    found = implementation(name, "their", function)
    failed = LawResult("test_steering_vector::the_law", Outcome.FAILS, "", "")
    assert diagnose(found, [failed])[0].cause == cause
