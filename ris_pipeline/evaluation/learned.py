"""A trained network and maximum likelihood together, as an estimator among the others."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._files import read_bytes
from ris_pipeline.config import Scenario
from ris_pipeline.learning import CovarianceModel, load_model, localise
from ris_pipeline.learning.inference import check_scenario
from ris_pipeline.localization import Estimates
from ris_pipeline.scene import Received, SceneBatch

_LEARNING = Path(__file__).parents[1] / "learning"


@lru_cache(maxsize=4)
def _loaded(path: Path, digest: str) -> CovarianceModel:
    # Once a process: a unit of scenes takes less time than the file.
    return load_model(path)


@dataclass(frozen=True)
class Learned:
    """The positions of `localise` with the model of a file.

    name: with a digest of the model and of the source that asks it, so that the units of one model
    are never taken for those of another.
    """

    path: Path
    digest: str

    @classmethod
    def of(cls, path: Path) -> "Learned":
        """The estimator of a model or a checkpoint.

        Raises:
            InputError: no such file, or no model.
        """
        total = hashlib.sha256(read_bytes(path, "model"))
        for source in sorted(_LEARNING.glob("*.py")):
            total.update(source.read_bytes())
        learned = cls(path.resolve(), total.hexdigest()[:8])
        _loaded(learned.path, learned.digest)
        return learned

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"localize:{self.digest}"

    def check(self, scenario: Scenario) -> None:
        """Raise `InputError` unless the model was trained for such a panel and sector."""
        check_scenario(_loaded(self.path, self.digest).settings.scenario, scenario)

    def __call__(self, scenes: Received, number: int | Tensor | None) -> Estimates:
        """Positions of the sources of each scene.

        Raises:
            InputError: as `localise`; scenes without their level of noise, which the network is
                told.
        """
        if not isinstance(scenes, SceneBatch):
            raise InputError("scenes do not tell the level of noise: the network needs it")
        return localise(_loaded(self.path, self.digest), scenes, number).estimates
