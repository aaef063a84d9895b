"""Training told a second time, straight from the definitions, with nothing to save or restore.

Its whole state is copied by `copy.deepcopy`, so a run that went on without interruption can be
had from any epoch on.
"""

import math
from dataclasses import dataclass

import torch

from ris_pipeline.config import LossWeights, Settings
from ris_pipeline.learning import (
    CovarianceNetwork,
    loss_terms,
    make_features,
    make_prediction,
    make_sector,
    make_truth,
)
from ris_pipeline.learning.losses import total_loss
from ris_pipeline.scene import SceneSet, Split

EPS = torch.finfo(torch.float64).eps
POISONED = "heads.0.1.bias"
"""The parameter whose gradient is made NaN."""


def gradient_of(parameter: torch.Tensor) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


@dataclass
class Expected:
    """What the record of an epoch has to say."""

    losses: list[float]
    validation: float
    rates: list[float]
    backbone: list[float]
    heads: list[float]
    non_finite: int
    skipped: int
    step: int
    ema: tuple[dict[str, torch.Tensor], float]


class Oracle:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        model, scenario = settings.model, settings.scenario
        self.sector = make_sector(scenario, model, torch.float64)
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            self.network = CovarianceNetwork(model, self.sector, scenario.wavefront)
        training = settings.training
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(self.network.backbone_parameters()), "lr": training.lr_backbone},
                {"params": list(self.network.head_parameters()), "lr": training.lr_heads},
            ],
            weight_decay=training.weight_decay,
        )
        self.epoch = self.step = 0
        self.steps_taken: list[tuple[int, dict[str, torch.Tensor]]] = []
        self.epoch_ends: list[dict[str, torch.Tensor]] = []
        self.start = self.weights()
        self.expected: list[Expected] = []

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: p.detach().clone() for name, p in self.network.named_parameters()}

    def train(self, accumulation: int, poisoned: frozenset[int]) -> None:
        """One epoch; the gradient of one bias is NaN in the batches of `poisoned`, from 0."""
        training = self.settings.training
        losses: list[float] = []
        rates: list[float] = []
        backbone: list[float] = []
        heads: list[float] = []
        non_finite = skipped = 0
        weights = self.phase()
        groups = math.ceil(training.batches / accumulation)
        for group in range(groups):
            members = range(training.batches)[group * accumulation : (group + 1) * accumulation]
            for batch in members:
                first = (self.epoch * training.batches + batch) * training.batch_size
                loss = self.loss(self.scenes(Split.TRAIN, first, training.batch_size), weights)
                losses.append(loss.item())
                (loss / len(members)).backward()
                if batch in poisoned:
                    gradient_of(self.network.get_parameter(POISONED)).fill_(math.nan)
                for norms, parameters in (
                    (backbone, self.network.backbone_parameters()),
                    (heads, self.network.head_parameters()),
                ):
                    squares = [gradient_of(p).square().sum().item() for p in parameters]
                    non_finite += sum(not math.isfinite(x) for x in squares)
                    norms.append(math.sqrt(math.fsum(x for x in squares if math.isfinite(x))))
            rates = self.rates(self.epoch * groups + group, training.epochs * groups)
            for group_of_optimiser, rate in zip(self.optimiser.param_groups, rates, strict=True):
                group_of_optimiser["lr"] = rate
            self.step += 1
            if poisoned.isdisjoint(members):
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), training.clip_norm)
                self.optimiser.step()
                self.steps_taken.append((self.step, self.weights()))
            else:
                skipped += 1
            self.optimiser.zero_grad()
        self.epoch += 1
        self.epoch_ends.append(self.weights())
        ema = self.ema()
        validation = self.validation(ema[0])
        self.expected.append(
            Expected(
                losses, validation, rates, backbone, heads, non_finite, skipped, self.step, ema
            )
        )

    def scenes(self, split: Split, first: int, count: int):
        settings = self.settings
        scenes = SceneSet(settings.scenario, settings.seed, first + count, split, torch.float64)
        return scenes.scenes(first, first + count)

    def loss(self, scenes, weights: LossWeights) -> torch.Tensor:
        believed = self.network(make_features(scenes, self.sector))
        prediction = make_prediction(believed, self.settings.scenario.sources[1])
        truth = make_truth(scenes, self.sector)
        return total_loss(loss_terms(prediction, truth, self.settings.loss, weights), weights)

    def phase(self) -> LossWeights:
        weights = self.settings.loss.weights
        training = self.settings.training
        for phase in training.curriculum:
            if self.epoch < phase.until * training.epochs:
                scaled = {k: getattr(weights, k) * phase.scale.get(k, 1.0) for k in _TERMS}
                return LossWeights(**scaled)
        return weights

    def rates(self, n: int, total: int) -> list[float]:
        """Warm-up and cosine, at step n from 0 of `total` at the present accumulation factor."""
        training = self.settings.training
        ramp = round(training.warmup * total)
        cosine = 0.5 * (1 + math.cos(math.pi * (n - ramp) / max(1, total - ramp)))
        scale = (n + 1) / ramp if n < ramp else cosine
        return [training.lr_backbone * scale, training.lr_heads * scale]

    def ema(self) -> tuple[dict[str, torch.Tensor], float]:
        """`sum_s (1 - d_s) prod_{u > s} d_u w_s`, the start being s = 0; and a bound of rounding.

        The products and the sum of T + 1 terms round at most 2 T + 2 times each (Higham, Accuracy
        and Stability of Numerical Algorithms, 2002, lemma 3.1); the recursion rounds as often.
        """
        decay = self.settings.training.ema_decay
        factors = [min(decay, (1 + s) / (10 + s)) for s, _ in self.steps_taken]
        total = {name: math.prod(factors) * value for name, value in self.start.items()}
        for index, (_, weights) in enumerate(self.steps_taken):
            share = (1 - factors[index]) * math.prod(factors[index + 1 :])
            for name, value in weights.items():
                total[name] = total[name] + share * value
        sets = [self.start, *(weights for _, weights in self.steps_taken)]
        size = max(value.abs().max().item() for weights in sets for value in weights.values())
        return total, 4 * (len(sets) + 1) * EPS * size

    def swa(self) -> tuple[dict[str, torch.Tensor], float]:
        """Mean of the weights at the ends of the last epochs; and a bound of rounding, as above."""
        training = self.settings.training
        first = math.floor((1 - training.swa_fraction) * training.epochs)
        ends = self.epoch_ends[first:]
        if not ends:
            return {}, 0.0
        first_end, *others = ends
        mean = {
            name: sum((end[name] for end in others), value) / len(ends)
            for name, value in first_end.items()
        }
        size = max(value.abs().max().item() for end in ends for value in end.values())
        return mean, 4 * (len(ends) + 1) * EPS * size

    def validation(self, weights: dict[str, torch.Tensor]) -> float:
        """Mean total loss over the validation scenes, all at once."""
        kept = self.weights()
        with torch.no_grad():
            self.network.load_state_dict(weights, strict=False)
            scenes = self.scenes(Split.VALIDATION, 0, self.settings.training.validation_scenes)
            loss = self.loss(scenes, self.settings.loss.weights).item()
            self.network.load_state_dict(kept, strict=False)
        return loss


_TERMS = tuple(LossWeights.model_fields)
