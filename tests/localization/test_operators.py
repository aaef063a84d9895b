"""Phi by classes of shared codes is Phi; no form of it is formed to be applied."""

import pytest
import torch
from localization_helpers import draw

from ris_pipeline.localization import measure
from ris_pipeline.localization.measurement.operators import OwnCodes, SharedCodes
from ris_pipeline.localization.measurement.whitening import whiten
from ris_pipeline.scene import sensing_matrix

# A sum of some hundred products, each rounded.
CLOSE = {"rtol": 0.0, "atol": 1e-12}

SHARED = {"panel": (8, 8), "antennas": 6, "codebook": "dft"}

FORMS = {
    "one code a block": ({**SHARED, "blocks": 5, "codes": 1}, SharedCodes, 1),
    "two codes a block": ({**SHARED, "blocks": 3, "codes": 2}, SharedCodes, 3),
    "codes of their own": ({"codebook": "random", "blocks": 3, "codes": 2}, OwnCodes, 3),
}


def close(one, other):
    torch.testing.assert_close(one, other.expand_as(one), **CLOSE)


@pytest.fixture(params=FORMS)
def drawn(request):
    settings, form, outers = FORMS[request.param]
    scenes = draw(3, **settings)
    operator = measure(scenes).operator
    assert type(operator) is form
    assert operator.outer().shape[1] == outers
    return scenes, operator, sensing_matrix(scenes.channel, scenes.codes)


def test_every_product_is_that_of_phi(drawn):
    _, operator, phi = drawn
    scenes, blocks, rows, elements = phi.shape
    generator = torch.Generator().manual_seed(0)

    def some(*shape):
        return torch.randn(*shape, dtype=phi.dtype, generator=generator)

    columns, own = some(scenes, elements, 3), some(scenes, blocks, elements, 2)
    image = some(scenes, blocks, rows, 2)
    close(operator.image(operator.sorted(columns)), phi.flatten(1, 2) @ columns)
    close(operator.each(own), phi @ own)
    close(operator.adjoint(image), phi.mH @ image)
    close(phi @ phi.mH, operator.outer())
    close(operator.energy(), phi.abs().square().sum((1, 2, 3)))


def test_whitening_is_that_of_the_whole_matrix(drawn):
    scenes, _, phi = drawn
    data = measure(scenes)
    ratio = 0.1 * data.mean_eigenvalue()
    white = whiten(data, ratio, torch.complex128)
    gram = phi.mH @ phi
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype)
    loaded = gram + ratio[:, None, None, None] * eye
    matched = torch.linalg.solve(loaded, data.matched[..., None])[..., 0]
    close(white.matched, matched)
    close(data.regularised_inverse(ratio, torch.complex128), matched)
    single = data.regularised_inverse(ratio, torch.complex64)
    torch.testing.assert_close(single.to(matched.dtype), matched, rtol=0, atol=1e-4)
    columns = torch.randn(3, gram.shape[-1], 2, dtype=gram.dtype)
    close(white.normal(columns), torch.linalg.solve(loaded, gram @ columns[:, None]))
    power = (columns.conj()[:, None] * white.normal(columns)).real.sum(2)
    close(white.power(columns), power)
    assert (white.root is None) == (phi.shape[1] != 3 or isinstance(data.operator, OwnCodes))
