"""The covariance network: features, model, losses, the training loop and what it reports."""

from ris_pipeline._files import write_text
from ris_pipeline.learning.atoms import Atoms, make_prediction
from ris_pipeline.learning.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from ris_pipeline.learning.epoch import EpochResult, run_epoch
from ris_pipeline.learning.features import Features, make_features, make_truth
from ris_pipeline.learning.history import (
    OVERFIT_LOSS,
    OVERFIT_SCENES,
    failures,
    health_alarms,
    history_curve,
    overfit_settings,
)
from ris_pipeline.learning.ignorance import measure_scales
from ris_pipeline.learning.inference import (
    CovarianceModel,
    Localised,
    Verdict,
    export_model,
    find_model,
    load_model,
    localise,
    model_names,
)
from ris_pipeline.learning.losses import TERMS, Prediction, Truth, loss_terms, total_loss
from ris_pipeline.learning.model import CovarianceNetwork
from ris_pipeline.learning.precision import make_fabric
from ris_pipeline.learning.records import EpochRecord
from ris_pipeline.learning.sector import Sector, make_sector
from ris_pipeline.learning.trainer import Trainer
from ris_pipeline.watch.diagnostics import GroupNorm, gradient_norm, without_gradient

__all__ = [
    "OVERFIT_LOSS",
    "OVERFIT_SCENES",
    "TERMS",
    "Atoms",
    "Checkpoint",
    "CovarianceModel",
    "CovarianceNetwork",
    "EpochRecord",
    "EpochResult",
    "Features",
    "GroupNorm",
    "Localised",
    "Prediction",
    "Sector",
    "Trainer",
    "Truth",
    "Verdict",
    "export_model",
    "failures",
    "find_model",
    "gradient_norm",
    "health_alarms",
    "history_curve",
    "load_checkpoint",
    "load_model",
    "localise",
    "loss_terms",
    "make_fabric",
    "make_features",
    "make_prediction",
    "make_sector",
    "make_truth",
    "measure_scales",
    "model_names",
    "overfit_settings",
    "run_epoch",
    "save_checkpoint",
    "total_loss",
    "without_gradient",
    "write_text",
]
