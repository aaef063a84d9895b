"""Matching, GOSPA and the Cramer-Rao bounds."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ris_pipeline.localization.bounds.deterministic import cramer_rao_bound, fisher_information
from ris_pipeline.localization.bounds.misspecified import (
    MisspecifiedBound,
    misspecified_cramer_rao_bound,
)
from ris_pipeline.localization.bounds.stochastic import stochastic_cramer_rao_bound
from ris_pipeline.localization.estimates import Estimates, Status
from ris_pipeline.localization.maximum_likelihood.locate import locate
from ris_pipeline.localization.scoring.gospa import gospa_metric
from ris_pipeline.localization.scoring.matching import great_circle, match_sources
from ris_pipeline.localization.source_number import Threshold
from ris_pipeline.scene import (
    Received,
    SceneBatch,
    sensing_matrix,
    steering_derivatives,
    steering_matrix,
)
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug

known_bug = Catalogue()

_FASTER = "A solver replaced by something faster."
_WHICH = "A variance, a deviation, a noise power: which of them is meant."


@known_bug(
    "match_sources",
    Cause.UNMATCHED,
    "Estimates came sorted from the detector, the truth from the generator.",
)
def sources_matched_in_order(*arguments: Tensor) -> Tensor:
    """Estimates taken in the order they come."""
    found, true = arguments[2], arguments[5]
    match = torch.arange(true.shape[1]).expand(true.shape)
    return torch.where(match < found.sum(-1, keepdim=True), match, -1)


@known_bug("match_sources", Cause.GREEDY, _FASTER)
def sources_matched_by_nearest(*arguments: Tensor) -> Tensor:
    """Every source takes its nearest estimate, taken or not."""
    rows = [
        match_sources(*arguments[:3], *(x[:, i : i + 1] for x in arguments[3:]))
        for i in range(arguments[5].shape[1])
    ]
    return torch.cat(rows, dim=1)


def _pair_costs(arguments: tuple[Tensor, ...], match: Tensor, cutoff: float) -> Tensor:
    """`GOSPA^2` of the assignment `match`, (B, K) with -1 for none."""
    azimuth, elevation, found, true_azimuth, true_elevation, true = arguments
    paired, chosen = (match >= 0) & true, match.clamp_min(0)
    angle = great_circle(
        azimuth.gather(1, chosen), elevation.gather(1, chosen), true_azimuth, true_elevation
    )
    costs = torch.where(paired, angle.square().clamp_max(cutoff**2), 0.0).sum(-1)
    alone = (true & ~paired).sum(-1) + found.sum(-1) - paired.sum(-1)
    return costs + alone * cutoff**2 / 2


@known_bug(
    "gospa_metric",
    Cause.UNMATCHED,
    "Estimates came sorted from the detector, the truth from the generator.",
)
def gospa_in_order(*arguments: Tensor, cutoff: float) -> Tensor:
    """Estimates taken in the order they come."""
    return _pair_costs(arguments, sources_matched_in_order(*arguments), cutoff).sqrt()


@known_bug("gospa_metric", Cause.GREEDY, _FASTER)
def gospa_of_the_nearest(*arguments: Tensor, cutoff: float) -> Tensor:
    """Every source takes its nearest estimate, taken or not."""
    match = sources_matched_by_nearest(*arguments)
    return _pair_costs(arguments, match, cutoff).clamp_min(0).sqrt()


@known_bug("gospa_metric", Cause.ROOT, "The cost is what the solver returns.")
def gospa_squared(*arguments: Tensor, cutoff: float) -> Tensor:
    """The root left out."""
    return gospa_metric(*arguments, cutoff=cutoff).square()


@known_bug("gospa_metric", Cause.HALF, "alpha = 1 instead of 2: the paper has both.")
def gospa_of_full_penalties(*arguments: Tensor, cutoff: float) -> Tensor:
    """`c^2` for each missed source and each false alarm."""
    match = match_sources(*arguments)
    alone = (arguments[5].sum(-1) - arguments[2].sum(-1)).abs()
    return (_pair_costs(arguments, match, cutoff) + alone * cutoff**2 / 2).sqrt()


@known_bug(
    "gospa_metric",
    Cause.ZERO_TERM,
    "Only the rows of the assignment were looped over, and they are the sources.",
)
def gospa_without_false_alarms(*arguments: Tensor, cutoff: float) -> Tensor:
    """Estimates that are too many cost nothing."""
    extra = (arguments[2].sum(-1) - arguments[5].sum(-1)).clamp_min(0)
    squared = gospa_metric(*arguments, cutoff=cutoff).square()
    return (squared - extra * cutoff**2 / 2).clamp_min(0).sqrt()


@known_bug("gospa_metric", Cause.SCALE, "OSPA is the older metric, and in every toolbox.")
def ospa_for_gospa(*arguments: Tensor, cutoff: float) -> Tensor:
    """The mean over the larger of the two sets: OSPA, which a false alarm can improve."""
    larger = torch.maximum(arguments[2].sum(-1), arguments[5].sum(-1)).clamp_min(1)
    return gospa_metric(*arguments, cutoff=cutoff) / larger.sqrt()


@known_bug("cramer_rao_bound", Cause.ROOT, _WHICH)
def bound_of_deviations(scenes: SceneBatch) -> Tensor:
    """Standard deviations returned as variances."""
    return cramer_rao_bound(scenes).sqrt()


@known_bug("cramer_rao_bound", Cause.SCALE, _WHICH)
def bound_at_unit_noise(scenes: SceneBatch) -> Tensor:
    """The noise variance left out."""
    return cramer_rao_bound(scenes) / scenes.noise_variance[:, None, None]


def _seen(scenes: SceneBatch, scene: int) -> Tensor:
    """Derivatives of the snapshots of one scene by its coordinates, (T L M, 3 K) complex."""
    s, count = scenes.sources, int(scenes.sources.count[scene])
    azimuth, elevation, distance = (x[scene, :count] for x in (s.azimuth, s.elevation, s.distance))
    wavefront = scenes.scenario.wavefront
    _, slopes = steering_derivatives(scenes.panel, azimuth, elevation, distance, wavefront)
    phi = sensing_matrix(scenes.channel[scene : scene + 1], scenes.codes)[0]
    amplitudes = (s.gains[..., None] * s.symbols)[scene, :count]
    moved = torch.einsum("trn,kcn,kt->trkc", phi, slopes.to(phi.dtype), amplitudes)
    return moved.reshape(-1, 3 * count)


def _bound(scenes: SceneBatch, rows: Callable[[Tensor], Tensor]) -> Tensor:
    """`sigma^2 / 2` times the diagonal of the inverse of a too simple information."""
    bound = torch.full((*scenes.sources.active.shape, 3), torch.nan, dtype=torch.float64)
    for scene in range(scenes.size):
        jacobian = rows(_seen(scenes, scene))
        variance = torch.linalg.pinv(jacobian.mT @ jacobian).diagonal()
        count = int(scenes.sources.count[scene])
        bound[scene, :count] = (scenes.noise_variance[scene] / 2 * variance).reshape(count, 3)
    return bound


@known_bug(
    "cramer_rao_bound",
    Cause.CHAIN_RULE,
    "The information of the coordinates alone: nuisance parameters forgotten.",
)
def bound_at_known_amplitudes(scenes: SceneBatch) -> Tensor:
    """The amplitudes taken for known: too low."""
    return _bound(scenes, lambda seen: torch.cat((seen.real, seen.imag)))


@known_bug(
    "cramer_rao_bound",
    Cause.REAL_PART,
    "The formula for real data on complex snapshots, without stacking their parts.",
)
def bound_of_the_real_part(scenes: SceneBatch) -> Tensor:
    """`real(D)^T real(D)`: it sees how the antennas are turned."""
    return _bound(scenes, lambda seen: seen.real)


@known_bug("cramer_rao_bound", Cause.BATCH, "A `[:, :1]` left from the version for one source.")
def bound_of_the_first_source(scenes: SceneBatch) -> Tensor:
    """The first source's bound for every slot."""
    return cramer_rao_bound(scenes)[:, :1].expand(-1, scenes.sources.active.shape[1], -1)


@known_bug(
    "stochastic_cramer_rao_bound",
    Cause.CHAIN_RULE,
    "The information of the coordinates alone: nuisance parameters forgotten.",
)
def stochastic_bound_at_known_covariance(scenes: SceneBatch) -> Tensor:
    """P and the noise variance taken for known: too low."""
    s, a = scenes.sources, steering_matrix(scenes)
    bound = torch.full((*s.active.shape, 3), torch.nan, dtype=torch.float64)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    where = (s.azimuth, s.elevation, s.distance)
    _, slopes = steering_derivatives(scenes.panel, *where, scenes.scenario.wavefront)
    for scene, count in enumerate(s.count.tolist()):
        b = phi[scene] @ a[scene, :, :count]
        d = phi[scene] @ slopes[scene, :count].flatten(0, 1).mT
        weighted = b * s.powers[scene, :count]
        noise = scenes.noise_variance[scene] * torch.eye(b.shape[1])
        rows = weighted.mT.conj().repeat_interleave(3, dim=1)[..., None, :]
        half = d.mT[..., None] * rows
        scaled = torch.linalg.solve((weighted @ b.mH + noise)[:, None], half + half.mH)
        information = torch.einsum("tixy,tjyx->ij", scaled, scaled).real
        bound[scene, :count] = torch.linalg.pinv(information).diagonal().reshape(count, 3)
    return bound


@known_bug(
    "stochastic_cramer_rao_bound",
    Cause.REAL_PART,
    "A cast to a real dtype on the way, and a warning among many.",
)
def stochastic_bound_of_real_channels(scenes: SceneBatch) -> Tensor:
    """The channel without its imaginary part."""
    return stochastic_cramer_rao_bound(replace(scenes, channel=_real(scenes.channel)))


def _real(channel: Tensor) -> Tensor:
    return channel.real.to(channel.dtype)


@known_bug(
    "stochastic_cramer_rao_bound",
    Cause.HALF,
    "The formula of Slepian and Bangs as most books have it, for real data.",
)
def stochastic_bound_for_real_data(scenes: SceneBatch) -> Tensor:
    """`1/2 tr(...)`, which is the information of real Gaussian data."""
    return 2 * stochastic_cramer_rao_bound(scenes)


@known_bug("stochastic_cramer_rao_bound", Cause.SCALE, _WHICH)
def stochastic_bound_at_unit_noise(scenes: SceneBatch) -> Tensor:
    """`R = B P B^H + I`."""
    ones = torch.ones_like(scenes.noise_variance)
    return stochastic_cramer_rao_bound(replace(scenes, noise_variance=ones))


@known_bug(
    "stochastic_cramer_rao_bound",
    Cause.SUM_FOR_MEAN,
    "The `1 / (2 T)` of the closed form, after the blocks were averaged already.",
)
def stochastic_bound_of_one_block(scenes: SceneBatch) -> Tensor:
    """`1 / T` left out: the mean information of a block for that of all."""
    return stochastic_cramer_rao_bound(scenes) * scenes.codes.shape[0]


@known_bug("misspecified_cramer_rao_bound", Cause.ROOT, _WHICH)
def misspecified_bound_of_deviations(scenes: SceneBatch) -> MisspecifiedBound:
    """Standard deviations returned as variances."""
    bound = misspecified_cramer_rao_bound(scenes)
    return replace(bound, variance=bound.variance.sqrt())


@known_bug(
    "misspecified_cramer_rao_bound",
    Cause.SIGN,
    "A bias squared at once has no sign that anybody would see.",
)
def misspecified_bound_backwards(scenes: SceneBatch) -> MisspecifiedBound:
    """Truth minus pseudo-truth."""
    bound = misspecified_cramer_rao_bound(scenes)
    return replace(bound, bias=-bound.bias)


@known_bug(
    "misspecified_cramer_rao_bound",
    Cause.ZERO_TERM,
    "`A^-1 B A^-1` is what the papers call the bound; the bias stands two pages on.",
)
def misspecified_bound_without_bias(scenes: SceneBatch) -> MisspecifiedBound:
    """The variance about the pseudo-true place, taken for the error about the truth."""
    bound = misspecified_cramer_rao_bound(scenes)
    return replace(bound, bias=torch.zeros_like(bound.bias) * bound.bias)


@known_bug(
    "misspecified_cramer_rao_bound", Cause.CHAIN_RULE, "A bias added to the bound that was there."
)
def misspecified_bound_of_the_perfect_panel(scenes: SceneBatch) -> MisspecifiedBound:
    """The right bias beside the Cramer-Rao bound of the panel that the receiver assumes."""
    return replace(misspecified_cramer_rao_bound(scenes), variance=cramer_rao_bound(scenes))


@known_bug(
    "locate",
    Cause.ZERO_TERM,
    "A coordinate without information was left out of the inverse, and its place filled with zero: "
    "this package did.",
)
def locate_with_nothing_for_infinite(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """What cannot be told has a deviation of zero, and is resolved."""
    found = locate(scenes, number, criterion=criterion)
    blind = found.std.isinf()
    status = torch.where(blind.any(-1), int(Status.CONVERGED), found.status)
    return replace(found, std=found.std.masked_fill(blind, 0.0), status=status)


@known_bug("locate", Cause.SCALE, "An epsilon that was small beside the data of the day.")
def locate_with_a_floor(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """Snapshots below an absolute size count as nothing."""
    loud = scenes.snapshots.abs() > 1e-9
    quiet = replace(scenes, snapshots=scenes.snapshots * loud)
    return locate(quiet, number, criterion=criterion)


@known_bug("locate", Cause.BROADCAST, "The textbook threshold is that of one cell under test.")
def locate_testing_one_place(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """The level of a test at one place, used for the best of a dozen."""
    if isinstance(criterion, Threshold):
        criterion = Threshold(min(0.9, 12 * criterion.false_alarm))
    return locate(scenes, number, criterion=criterion)


@known_bug("locate", Cause.SCALE, "A correction for many tests, on a level that had one.")
def locate_correcting_twice(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """The level of all places, divided by their number once more."""
    if isinstance(criterion, Threshold):
        criterion = Threshold(criterion.false_alarm / 100)
    return locate(scenes, number, criterion=criterion)


@known_bug("locate", Cause.SCALE, "A test for what is left, at a level that nothing fails.")
def locate_stopping_early(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """The last source of several left out: what it explains was taken for noise."""
    found = locate(scenes, number, criterion=criterion)
    index = torch.nonzero(found.count > 1)[:, 0]
    if number is not None or index.numel() == 0:
        return found
    part = replace(scenes, snapshots=scenes.snapshots[index], channel=scenes.channel[index])
    fewer = locate(part, found.count[index] - 1)
    return found.put(index, fewer.padded(found.azimuth.shape[1]))


@known_bug("locate", Cause.SCALE, "What a source could explain at best, taken for what it does.")
def locate_hoping_for_one_more(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """One source more than pays."""
    found = locate(scenes, number, criterion=criterion)
    if number is not None:
        return found
    most = found.azimuth.shape[1]
    return locate(scenes, (found.count + 1).clamp_max(most)).padded(most)


@known_bug("locate", Cause.ROWS, "The preset lists its elements row by row, and so must everybody.")
def locate_by_rows(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """The places of the elements sorted, the columns of H and of the codes as they came."""
    positions = scenes.panel.positions
    x, y = positions[:, 0].argsort(), positions[:, 1]
    rows = x[y[x].argsort(stable=True)]
    sorted_panel = replace(scenes.panel, positions=positions[rows])
    return locate(replace(scenes, panel=sorted_panel), number, criterion=criterion)


@known_bug("locate", Cause.AXES, "Rows of a picture count from its top.")
def locate_downwards(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """Elevation below the horizon where it is above."""
    found = locate(scenes, number, criterion=criterion)
    return replace(found, elevation=-found.elevation)


@known_bug("locate", Cause.UNITS, "One wavelength for every panel: that of the preset.")
def locate_at_the_presets_wavelength(
    scenes: Received, number: int | Tensor | None = None, criterion: str | Threshold = "bic"
) -> Estimates:
    """0.3 m, whatever the panel was told."""
    panel = replace(scenes.panel, wavelength=0.3)
    return locate(replace(scenes, panel=panel), number, criterion=criterion)


@known_bug(
    "cramer_rao_bound",
    Cause.ZERO_TERM,
    "`inv` raised for a singular information, and `pinv` did not.",
)
def bound_by_pseudo_inverse(scenes: SceneBatch) -> Tensor:
    """`diag(pinv F)`: zero, or what little is known of a sum, where nothing is known."""
    information = fisher_information(scenes)
    inverse = torch.linalg.pinv(information, hermitian=True)
    variance = inverse.diagonal(dim1=1, dim2=2).reshape(*scenes.sources.active.shape, 3)
    return torch.where(scenes.sources.active[..., None], variance, torch.nan)


LOCALIZATION_BUGS: tuple[KnownBug, ...] = (*known_bug,)
