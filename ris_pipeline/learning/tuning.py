"""Search of a run's settings: Optuna trials that train and report their validation error.

Every process that is given the same file takes part in the same search, and a search that was
broken off goes on: trials are appended to a journal under a lock. A trial that is worse than the
median of the others at its epoch stops early.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ris_pipeline._errors import CALL_ERRORS, InputError, RunFailed
from ris_pipeline._files import write_text
from ris_pipeline._validation import check_range
from ris_pipeline.config import Settings
from ris_pipeline.learning.ignorance import with_scales
from ris_pipeline.learning.trainer import Trainer

if TYPE_CHECKING:
    import optuna

_STUDY = "ris_pipeline"
_SETTINGS = "settings"
_WARM_TRIALS = 4
"""Trials before any is pruned: a median needs something to be the median of."""

HEADS_TIMES = 4.0
"""The heads' rate over the backbone's, kept through the search."""


def suggest_settings(trial: "optuna.Trial", settings: Settings) -> Settings:
    """The settings of a trial: rates, decay, shape of the network, weight of the cells."""
    rate = trial.suggest_float("lr_backbone", 3e-4, 5e-3, log=True)
    training = settings.training.replace(
        lr_backbone=rate,
        lr_heads=HEADS_TIMES * rate,
        weight_decay=trial.suggest_float("weight_decay", 1e-6, 1e-2, log=True),
        warmup=trial.suggest_float("warmup", 0.0, 0.2),
    )
    model = settings.model.replace(
        stages=trial.suggest_int("stages", 1, 4),
        width=trial.suggest_categorical("width", [16, 32, 48, 64]),
        conv_blocks=trial.suggest_int("conv_blocks", 1, 3),
    )
    cells = trial.suggest_float("cells", 0.02, 1.0, log=True)
    loss = settings.loss.replace(weights=settings.loss.weights.replace(cells=cells))
    return settings.replace(training=training, model=model, loss=loss)


def _objective(settings: Settings) -> Callable[["optuna.Trial"], float]:
    import optuna

    # The scales depend on the scenario and the cells alone, which all trials share.
    settings = with_scales(settings)

    def run(trial: "optuna.Trial") -> float:
        def report(trainer: Trainer) -> None:
            record = trainer.history[-1]
            trial.report(record.validation_terms["nmse"], record.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        try:
            history = Trainer(suggest_settings(trial, settings)).fit(report)
        except RunFailed as error:
            raise optuna.TrialPruned(str(error)) from None
        return history[-1].validation_terms["nmse"]

    return run


def open_study(path: Path, settings: Settings) -> "optuna.Study":
    """The study kept in a journal file, made if absent.

    Raises:
        InputError: Optuna is not installed, the file cannot be used, or the study in it is of other
            settings.
    """
    try:
        import optuna
        from optuna.storages import JournalStorage

        from ris_pipeline.learning.study_file import StudyFile
    except ModuleNotFoundError as error:
        raise InputError("tune needs optuna: pip install 'ris-pipeline[tune]'") from error
    if settings.loss.weights.nmse == 0:
        raise InputError("loss.weights.nmse = 0: allowed for tune are positive numbers")
    mine = settings.model_dump(mode="json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            study_name=_STUDY,
            storage=JournalStorage(StudyFile(path)),
            pruner=optuna.pruners.MedianPruner(_WARM_TRIALS),
            load_if_exists=True,
        )
        held = study.user_attrs.get(_SETTINGS, mine)
        if held == mine:
            study.set_user_attr(_SETTINGS, mine)
    except InputError:
        raise
    except (OSError, *CALL_ERRORS) as error:
        # Optuna replays the journal without a look at it.
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"study {str(path)!r} cannot be used: {said}") from None
    if held != mine:
        raise InputError(f"study {str(path)!r} is of other settings: name another file")
    return study


def trial_line(study: "optuna.Study", trial: "optuna.trial.FrozenTrial") -> str:
    """`trial 3: 0.2139, the best is 0.1983 of trial 1`."""
    if trial.state.name != "COMPLETE":
        return f"trial {trial.number}: {trial.state.name.lower()}"
    best = f"{study.best_value:.4f} of trial {study.best_trial.number}"
    return f"trial {trial.number}: {trial.value:.4f}, the best is {best}"


def tune(
    settings: Settings,
    path: Path,
    trials: int,
    after_trial: Callable[[str], None] | None = None,
) -> tuple[Settings, float]:
    """The best settings so far and their validation NMSE, after `trials` more trials.

    Args:
        after_trial: called with the line of every trial.

    Raises:
        InputError: as `open_study`; fewer than one trial; no trial that came to its end.
    """
    check_range("trials", trials, 1, 10**6)
    study = open_study(path, settings)
    say = after_trial or (lambda line: None)
    callbacks = [lambda study, trial: say(trial_line(study, trial))]
    study.optimize(_objective(settings), n_trials=trials, callbacks=callbacks)
    if not any(trial.state.name == "COMPLETE" for trial in study.trials):
        raise InputError("every trial was pruned: allowed is at least one that came to its end")
    from optuna.trial import FixedTrial

    best: Any = FixedTrial(study.best_params)
    return suggest_settings(best, settings), study.best_value


def preset_text(settings: Settings) -> str:
    """Settings as TOML, a preset that `load_settings` reads."""
    tree = settings.model_dump(mode="json", exclude_none=True)
    lines = [f"seed = {tree.pop('seed')}"]
    for name, table in tree.items():
        lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(x)}" for key, x in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # Of strings, numbers and booleans JSON is TOML.
    return json.dumps(value)


def write_preset(path: Path, settings: Settings) -> None:
    """Write a preset.

    Raises:
        InputError: the folder cannot be written.
    """
    write_text(path, preset_text(settings))
