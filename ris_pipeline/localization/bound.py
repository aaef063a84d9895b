"""The deterministic Cramer-Rao bound of azimuth, elevation and distance.

    C = [ (2 / sigma^2) Re sum_t D_t^H P_t D_t ]^-1

D_t holds the derivatives of Phi_t A x_t, P_t projects out Phi_t A: amplitudes are unknown. The
noise variance decouples. Any T, L, K.

Source: P. Stoica, A. Nehorai, IEEE Trans. Acoust. Speech Signal Process. 37(5), 1989, eq. (4.1).
"""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.locate import distance_scale, invert_information
from ris_pipeline.localization.projection import fisher_matrix, linearise, measurement, noiseless
from ris_pipeline.scene import SceneBatch


def cramer_rao_bound(scenes: SceneBatch) -> Float[Tensor, "b k 3"]:
    """Variances of azimuth (rad^2), elevation (rad^2) and distance (m^2), float64.

    Slots without a source hold NaN; infinite where the sources cannot be told apart. For scenes
    of an ideal panel: the bound of a miscalibrated one is another.
    """
    sources = scenes.sources
    parameters = torch.stack(
        (sources.azimuth, sources.elevation, 1 / sources.distance), dim=-1
    ).double()
    bound = torch.full_like(parameters, torch.nan)
    data = measurement(scenes)
    received = sources.gains[..., None] * sources.symbols
    for count in sources.count.unique().tolist():
        rows = (sources.count == count).nonzero()[:, 0]
        part, truth = data.select(rows), parameters[rows, :count]
        amplitudes = received[rows, :count].mT.to(torch.complex128)
        # Without noise the projected amplitudes are the true ones, where the bound is taken.
        clean = dataclasses.replace(part, snapshots=noiseless(part, truth, amplitudes))
        jacobian = linearise(clean, truth).jacobian
        information = fisher_matrix(jacobian, scenes.noise_variance[rows].double())
        variance = invert_information(information).diagonal(dim1=1, dim2=2)
        bound[rows, :count] = variance.reshape(-1, count, 3) * distance_scale(truth).square()
    return bound
