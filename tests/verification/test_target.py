"""Putting somebody's functions behind `TARGET`."""

import unittest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ris_pipeline.spectral.eigengap import eigengap
from ris_pipeline.spectral.hermitian import hermitize
from ris_pipeline.verification.target import TARGET, DoesNotApply, provide, taken, under_test


def theirs(matrix):
    return matrix


def test_a_provided_function_stands_in_place_of_ours_inside_the_block() -> None:
    with provide({"hermitize": theirs}) as usage:
        assert TARGET.hermitize is theirs
        assert TARGET.eigengap is eigengap
        with provide({}):
            assert TARGET.hermitize is hermitize
        assert TARGET.hermitize is theirs
    assert TARGET.hermitize is hermitize
    assert usage.looked_up == {"hermitize", "eigengap"}
    assert usage.applies


def test_a_block_that_asks_for_nothing_provided_does_not_apply() -> None:
    with provide({"hermitize": theirs}) as usage:
        assert TARGET.eigengap is eigengap
    assert not usage.applies


def test_ours_is_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), provide({"hermitize": theirs}):
        raise ZeroDivisionError
    assert TARGET.hermitize is hermitize


def test_a_name_that_is_none_of_ours() -> None:
    with pytest.raises(KeyError, match="hermitise"), provide({"hermitise": theirs}):
        pass


def test_what_is_not_taken_is_not_drawn() -> None:
    with provide({}, without=("plane",)):
        assert taken(("plane", "fresnel")) == ("fresnel",)
        with pytest.raises(DoesNotApply, match="needs plane"):
            taken(("plane",))
    assert taken(("plane", "fresnel")) == ("plane", "fresnel")


def test_laws_over_names_look_at_those_provided() -> None:
    with provide({"hermitize": theirs}):
        assert under_test(("eigengap", "hermitize")) == ("hermitize",)
        assert under_test(("eigengap", "projector")) == ()
    assert under_test(("eigengap", "hermitize")) == ("eigengap", "hermitize")


def test_hypothesis_stops_at_what_does_not_apply() -> None:
    seen = []

    @settings(database=None)
    @given(st.integers())
    def law(x: int) -> None:
        seen.append(x)
        raise DoesNotApply("no gradient")

    with pytest.raises(unittest.SkipTest, match="no gradient"):
        law()
    assert len(seen) == 1
