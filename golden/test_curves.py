"""The runs whose curves are kept."""

from ris_pipeline.config import load_settings
from ris_pipeline.learning import OVERFIT_LOSS, Trainer, history_curve, overfit_settings

OVERFIT_EPOCHS = 90
"""Long enough to pass 0.2; later epochs sit at the kinks of the hinges, where CPUs part ways."""


def test_thirty_epochs(check_curve) -> None:
    settings = load_settings("golden")
    trainer = Trainer(settings)
    curve = history_curve(trainer.fit())
    check_curve("thirty_epochs", curve, settings)
    assert curve["train"][-1] < curve["train"][0]
    assert curve["validation"][-1] < curve["validation"][0]


def test_overfit(check_curve) -> None:
    settings = overfit_settings(load_settings("golden"), epochs=OVERFIT_EPOCHS)
    curve = history_curve(Trainer(settings).fit())
    check_curve("overfit", curve, settings)
    assert curve["train"][-1] < OVERFIT_LOSS
