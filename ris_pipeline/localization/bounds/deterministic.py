"""Deterministic Cramer-Rao bound.

CRB = (sigma^2 / 2) (Re sum_t (conj(x_t) x_t^T) o (D_t^H P_t D_t))^-1,   x_t = g s_t

the inverse Fisher information of the coordinates when the amplitudes x_t are unknown and the noise
is circular white Gaussian of known or unknown variance. D and P are those of `linearisation`, at
the truth.

Source: P. Stoica and A. Nehorai, "MUSIC, maximum likelihood, and Cramer-Rao bound", IEEE Trans.
ASSP 37(5), 1989, eq. (4.1).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline.localization.bounds.chunks import in_chunks
from ris_pipeline.localization.cholesky import invert_information, unit_diagonal
from ris_pipeline.localization.coordinates import inverse_by_distance
from ris_pipeline.localization.least_squares.linearisation import (
    eliminate,
    fisher_core,
    known_amplitude_information,
)
from ris_pipeline.localization.measurement.columns import model_columns, of_source
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.scene import SceneBatch, Sources


def true_parameters(sources: Sources) -> Float[Tensor, "b k 3"]:
    """(azimuth, elevation, 1 / distance) of every slot, float64: what `linearise` takes."""
    inverse = sources.distance.double().reciprocal()
    return torch.stack((sources.azimuth, sources.elevation, inverse), dim=-1).double()


def true_amplitudes(sources: Sources) -> Tensor:
    """`x_t = g s_t`, (B, T, K) complex128."""
    return (sources.gains[..., None] * sources.symbols).mT.to(torch.complex128)


def by_distance(
    information: Float[Tensor, "b d d"], parameters: Float[Tensor, "b k 3"]
) -> Float[Tensor, "b d d"]:
    """Information of (azimuth, elevation, distance) from that of (azimuth, elevation, 1/r)."""
    chain = inverse_by_distance(parameters).flatten(1)
    return information * chain[:, :, None] * chain[:, None, :]


def variances(
    information: Float[Tensor, "b d d"], whole: Float[Tensor, "b d"], scenes: SceneBatch
) -> Float[Tensor, "b k 3"]:
    """Diagonal of the inverse Fisher information of (azimuth, elevation, distance), per source.

    NaN in empty slots; infinite for coordinates that the information says nothing about, and for
    the distance of a plane wavefront.

    Args:
        whole: diagonal of the information that nuisances, when known, would leave.
    """
    active = scenes.sources.active
    coordinates = of_source(active)
    if scenes.scenario.wavefront == "plane":
        coordinates = coordinates & (torch.arange(3, device=active.device) < 2).repeat(
            active.shape[1]
        )
    unit, scale = unit_diagonal(information, coordinates, whole)
    two = unit.new_full(unit.shape[:1], 2.0)
    variance = invert_information(unit, scale, two).square()
    variance = torch.where(of_source(active), variance, torch.nan)
    return variance.reshape(*active.shape, 3)


def fisher_information(scenes: SceneBatch) -> Float[Tensor, "b d d"]:
    """`(2 / sigma^2) F` at the true sources, (azimuth, elevation, distance) of each slot in turn.

    (B, 3K, 3K) float64, 1/rad^2 and 1/m^2; rows and columns of empty slots are zero, and all of
    them where two sources coincide. The panel is the one the receiver assumes.
    """
    return in_chunks(_information, scenes)[0]


def _information(scenes: SceneBatch) -> tuple[Float[Tensor, "b d d"], Float[Tensor, "b d"]]:
    """`fisher_information`, and the diagonal of that at known amplitudes."""
    sources, measurement = scenes.sources, measure(scenes)
    parameters, amplitudes = true_parameters(sources), true_amplitudes(sources)
    columns = model_columns(measurement, parameters, sources.active)
    inner, k = measurement.inner(columns), sources.active.shape[1]
    _, schur, regular = eliminate(inner, sources.active)
    core = fisher_core(schur, amplitudes) * regular[:, None, None]
    whole = known_amplitude_information(inner[..., k:, k:], amplitudes)
    unit = (2 / scenes.noise_variance.double())[:, None]
    chain = inverse_by_distance(parameters).flatten(1).square()
    return by_distance(core * unit[..., None], parameters), whole * unit * chain


def cramer_rao_bound(scenes: SceneBatch) -> Float[Tensor, "b k 3"]:
    """Variances of azimuth (rad^2), elevation (rad^2) and distance (m^2), (B, K, 3) float64.

        diag(((2 / sigma^2) Re sum_t D_t^H P_t D_t)^-1),   D_t scaled by the amplitudes

    Unlike the estimator it uses the truth and the noise variance of `scenes`. NaN in empty slots;
    infinite for coordinates that the data say nothing about, and for the distance of a plane
    wavefront.

    Raises:
        InputError: as `locate` for the receiver's part of the scenes.
    """
    information, whole = in_chunks(_information, scenes)
    return variances(information, whole, scenes)
