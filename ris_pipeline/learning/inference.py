"""A trained network at work: it proposes, least squares refines, the two are blended.

1. The network predicts atoms, from them P and where it sees sources.
2. `locate` searches on its own grid and says how many there are.
3. Least squares starts from the network's places too; the better fit of the two is taken.
4. The covariance is `blending`'s.

Where a prediction cannot be used (`Prediction` of a scene is not finite, flat or saturated) the
scene is what `locate` makes of it, and its `Verdict` says why.
"""

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from pathlib import Path

import torch
from torch import Tensor

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._tables import Row, Tabular, known
from ris_pipeline.config import Scenario, Settings
from ris_pipeline.learning.atoms import REACH, Atoms, read_slots
from ris_pipeline.learning.averaging import Weights
from ris_pipeline.learning.blending import blend_weight, fit_error
from ris_pipeline.learning.checkpoint import MODEL, Checkpoint, load_checkpoint
from ris_pipeline.learning.features import make_features
from ris_pipeline.learning.model import CovarianceNetwork
from ris_pipeline.learning.sector import Sector, make_sector
from ris_pipeline.localization import Estimates, SteeringGrid, beamwidths, locate, search_domain
from ris_pipeline.localization.coordinates import Domain
from ris_pipeline.localization.grid_search.grid import grid_size
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.least_squares.refinement import refine
from ris_pipeline.localization.maximum_likelihood.report import report
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.measurement.whitening import amplitude_ridge
from ris_pipeline.localization.random_field import panel_sizes
from ris_pipeline.localization.source_number import Searched
from ris_pipeline.scene import SceneBatch
from ris_pipeline.spectral import LowRankCovariance

_FLAT = 2.0
"""A prediction is flat when no cell holds this many times its even share."""

_LIMIT = 0.99
"""An atom is at its limit at this part of its reach; saturated: most of the power is."""

_WORTH_TAKING = 0.5
"""The network's start is taken when -ln likelihood falls by this much: less is the same place."""


_MODELS = Path(__file__).parents[1] / "models"


class Verdict(IntEnum):
    """What became of a scene's prediction."""

    USED = 0
    NOT_FINITE = 1
    """NaN or infinity: the network diverged, or was given such data."""
    FLAT = 2
    """No cell stands out: the network has nothing to say."""
    SATURATED = 3
    """Most of the power lies in atoms at the end of their reach: the network points outside."""


@dataclass(frozen=True)
class CovarianceModel:
    """A network that answers, the cells it answers in, and the settings it was trained with."""

    network: CovarianceNetwork
    sector: Sector
    settings: Settings

    @torch.no_grad()
    def predict(self, scenes: SceneBatch) -> Atoms:
        """What the last stage believes.

        Raises:
            InputError: scenes of another panel, sector or wavefront.
        """
        check_scenario(self.settings.scenario, scenes.scenario)
        believed: list[Atoms] = self.network(make_features(scenes, self.sector))
        return believed[-1]


def check_scenario(trained: Scenario, seen: Scenario) -> None:
    """Raise `InputError` unless a network trained for one scenario can answer in the other."""
    for name in (
        "wavelength",
        "panel",
        "spacing",
        "positions",
        "azimuth_deg",
        "elevation_deg",
        "distance",
        "wavefront",
    ):
        wanted, given = getattr(trained, name), getattr(seen, name)
        if wanted != given:
            raise InputError(f"scenario.{name} = {given!r}: the model was trained for {wanted!r}")


def export_model(settings: Settings, weights: Weights) -> Checkpoint:
    """The weights alone, with the settings they belong to: what travels."""
    return Checkpoint({MODEL: weights}, settings)


def model_names() -> list[str]:
    """Names of the models that come with the package, sorted."""
    return sorted(path.stem for path in _MODELS.glob("*.safetensors"))


def find_model(name: str) -> Path:
    """The file of a model, by its name in the package or by its path.

    Raises:
        InputError: neither.
    """
    if name.endswith(".safetensors"):
        return Path(name)
    check_choice("model", name, [*model_names(), "PATH.safetensors"])
    return _MODELS / f"{name}.safetensors"


def load_model(path: Path, device: torch.device | str = "cpu") -> CovarianceModel:
    """A model from a file of `export_model`, or the best averaged weights of a run's checkpoint.

    Raises:
        InputError: no such file, or no weights of the network that its settings describe.
    """
    checkpoint = load_checkpoint(path)
    settings, tensors = checkpoint.settings, checkpoint.tensors
    weights = tensors.get(MODEL) or tensors.get("best") or tensors.get("ema")
    sector = make_sector(settings.scenario, settings.model, torch.float32, device)
    with torch.random.fork_rng():
        network = CovarianceNetwork(settings.model, sector, settings.scenario.wavefront)
    expected = {name: value.shape for name, value in network.named_parameters()}
    if weights is None or {name: w.shape for name, w in weights.items()} != expected:
        raise InputError(f"model {str(path)!r} holds no weights of the network in its settings")
    network.load_state_dict(weights)
    return CovarianceModel(network.to(device, torch.float32).eval(), sector, settings)


@dataclass(frozen=True, repr=False)
class Localised(Tabular):
    """Sources and covariance of a batch.

    located: what `locate` alone makes of the scenes;
    learned, fitted, covariance: P, M and their blend, trace N, complex128 factors (zero where there
    is nothing); beta (B,); verdict (B,) int64, a `Verdict`; taken (B,) bool: the network's start
    gave the better fit.
    """

    estimates: Estimates
    located: Estimates
    learned: LowRankCovariance
    fitted: LowRankCovariance
    covariance: LowRankCovariance
    beta: Tensor
    verdict: Tensor
    taken: Tensor

    def rows(self) -> list[Row]:
        """Those of the estimates; scene by scene what became of the prediction, and the weight of
        least squares in the covariance."""
        verdicts = [Verdict(x).name.lower() for x in self.verdict.tolist()]
        beta = self.beta.tolist()
        return [
            {**row, "prediction": verdicts[scene], "beta": known(beta[scene])}
            for row in self.estimates.rows()
            for scene in [int(row["scene"] or 0)]
        ]

    def columns(self) -> dict[str, str]:
        return self.estimates.columns()

    def summary(self) -> str:
        used = int((self.verdict == Verdict.USED).sum())
        return f"Localised, the prediction used in {used} of {self.verdict.numel()} scenes"


def judge(atoms: Atoms, sector: Sector) -> Tensor:
    """The `Verdict` of each scene, (B,) int64."""
    finite = torch.isfinite(atoms.logit).all(1) & torch.isfinite(atoms.steering.abs()).all(2).all(1)
    flat = atoms.logit.softmax(1).amax(1) < _FLAT / sector.cells
    moved = [
        ((value - centre[atoms.cell]).abs() > _LIMIT * REACH * half)
        for value, centre, half in (
            (atoms.p, sector.p, sector.half[0]),
            (atoms.v, sector.v, sector.half[1]),
        )
    ]
    saturated = (atoms.share * (moved[0] | moved[1])).sum(1) > 0.5
    verdict = torch.where(saturated, int(Verdict.SATURATED), int(Verdict.USED))
    verdict = torch.where(flat, int(Verdict.FLAT), verdict)
    return torch.where(finite, verdict, int(Verdict.NOT_FINITE))


def _parameters(estimates: Estimates, domain: Domain) -> Tensor:
    """(azimuth, elevation, 1 / distance) float64; empty slots and absent distances: the border."""
    coordinates = estimates.azimuth, estimates.elevation, 1 / estimates.distance
    parameters = torch.stack(coordinates, -1).double()
    return torch.where(parameters.isnan(), domain.lower, parameters)


def _merged(better: Tensor, first: Estimates, second: Estimates) -> Estimates:
    """`first` where `better`, else `second`; confidence of the number is that of `second`."""
    chosen = {
        field.name: torch.where(
            better.reshape(-1, *(1,) * (getattr(first, field.name).ndim - 1)),
            getattr(first, field.name),
            getattr(second, field.name),
        )
        for field in fields(Estimates)
    }
    return replace(Estimates(**chosen), confidence=second.confidence)


def _propose(
    atoms: Atoms,
    usable: Tensor,
    found: Estimates,
    data: Measurement,
    domain: Domain,
    width: float,
    searched: Searched,
) -> tuple[Estimates, Tensor]:
    """Least squares from the network's places where that fits better, and where it does."""
    slots = found.azimuth.shape[1]
    azimuth, elevation, log_distance = (x.double() for x in read_slots(atoms, slots))
    start = torch.stack((azimuth, elevation, (-log_distance).exp()), -1)
    mine = usable & (found.count > 0)
    active = found.active & mine[:, None]
    start = torch.where(active[..., None], start, domain.lower)
    refined = refine(data, start, active, domain)
    before = linearise(data, _parameters(found, domain), found.active).objective
    worth = _WORTH_TAKING * found.noise_variance.double()
    better = mine & (refined.fit.objective < before - worth)
    own = report(data, refined, active, domain, width, searched, found.azimuth.dtype)
    return _merged(better, own, found), better


def localise(
    model: CovarianceModel,
    scenes: SceneBatch,
    number: int | Tensor | None = None,
    grid: SteeringGrid | None = None,
) -> Localised:
    """Positions and covariance from the network and maximum likelihood together.

    Args:
        number, grid: as for `locate`.

    Raises:
        InputError: as `locate`; scenes of another panel, sector or wavefront.
    """
    atoms = model.predict(scenes)
    verdict = judge(atoms, model.sector)
    usable = verdict == Verdict.USED
    found = locate(scenes, number, grid)
    data, domain = measure(scenes), search_domain(scenes.scenario, scenes.snapshots.device)
    if number is None or found.azimuth.shape[1] > 1:
        # As `locate`: a source that nothing can cancel has no ridge.
        data = replace(data, ridge=amplitude_ridge(data, data.outside()))
    width = max(beamwidths(scenes.scenario))
    places = grid_size(scenes.scenario) if grid is None else grid.size
    searched = Searched(places, panel_sizes(data.panel, data.wavefront, domain))
    estimates, taken = _propose(atoms, usable, found, data, domain, width, searched)
    learned = _narrowed(atoms, usable)
    fitted, error = fit_error(
        data,
        _parameters(estimates, domain),
        estimates.active,
        estimates.noise_variance.double(),
        domain,
    )
    weight = blend_weight(learned, fitted, error, estimates.confidence)
    beta = torch.where(usable, weight, 1.0)
    parts = learned.scaled(1 - beta).factor, fitted.scaled(beta).factor
    blended = LowRankCovariance(torch.cat(parts, dim=-1))
    return Localised(estimates, found, learned, fitted, blended, beta, verdict, taken)


def _narrowed(atoms: Atoms, usable: Tensor) -> LowRankCovariance:
    factor = atoms.covariance().factor.to(torch.complex128)
    return LowRankCovariance(torch.where(usable[:, None, None], factor, torch.zeros_like(factor)))
