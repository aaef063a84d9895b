"""A codebook beyond memory is refused before anything is allocated; a code comes again only when
every other has come."""

from collections import Counter

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.scene import (
    dft_codebook,
    hadamard_codebook,
    random_codebook,
    ris_codes,
    sensing_matrix,
    simulate,
)


@pytest.mark.parametrize(
    "make",
    [
        lambda: hadamard_codebook(10**9),
        lambda: hadamard_codebook(2**15),
        lambda: random_codebook(10**6, 10**6, 0),
        lambda: dft_codebook((10**5, 10**5), (8, 8)),
        lambda: dft_codebook((2, 2), (10**9, 10**9)),
    ],
)
def test_the_limit_is_said(make):
    with pytest.raises(InputError, match=r"^\d+ codes of \d+ elements would take \S+ GiB: allowed"):
        make()


def test_what_fits_is_made():
    assert hadamard_codebook(144).shape == (256, 144)


def _counted(codes):
    return Counter(tuple(code) for code in torch.view_as_real(codes).flatten(1).round().tolist())


@pytest.mark.parametrize(("blocks", "codes"), [(16, 16), (8, 16), (32, 4), (128, 1)])
def test_a_code_comes_again_when_every_other_has_come(blocks, codes):
    scenario = Scenario(blocks=blocks, codes=codes, phase_bits=None)
    drawn = 100 * ris_codes(scenario, torch.complex128)
    for block in drawn:
        assert len(_counted(block)) == codes
    assert set(_counted(drawn.flatten(0, 1)).values()) == {blocks * codes // 64}


@pytest.mark.parametrize("codes", [7, 11, 16])
def test_blocks_of_more_codes_than_there_are_see_the_whole_panel(codes):
    scenes = simulate(Scenario(blocks=16, codes=codes), 0, torch.arange(2), torch.float64)
    ranks = torch.linalg.matrix_rank(sensing_matrix(scenes.channel, scenes.codes))
    assert ranks.eq(min(144, 16 * codes)).all()


def test_rows_of_hadamard_come_again_in_turn():
    scenario = Scenario(panel=(4, 4), blocks=8, codes=4, codebook="hadamard", phase_bits=None)
    drawn = ris_codes(scenario, torch.complex128)
    assert all(len(_counted(block)) == 4 for block in drawn)
    assert set(_counted(drawn.flatten(0, 1)).values()) == {2}
