"""torch-audit and torchtest2 on the catalogue's bugs, planted in the plain loop.

    python tests/watch/measure_peers.py torch-audit|torchtest2

A bug counts as named when the tool finds anything (error, warning, failure) that it does not find
in the same training without the bug: generous, since what it says need not be about it. Install
torch-audit==0.3.0 and torchtest2==0.1.0 beside the package first; they are no dependencies.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
from watch_bugs import BUGS
from watch_recipe import Recipe

Finder = Callable[[Recipe], set[str]]


def torch_audit(recipe: Recipe) -> set[str]:
    """As its page says: autopatch, every step, static and initial checks."""
    from torch_audit import autopatch

    run = recipe.setup()
    recipe.train_mode(run)
    auditor = autopatch(
        run.model,
        optimizer=run.optimizer,
        every_n_steps=1,
        reporters=[],
        fail_level="FATAL",
        run_static=True,
        run_init=True,
    )
    for epoch in range(recipe.epochs):
        recipe.train_mode(run)
        for number, batch in enumerate(recipe.batches(run, epoch)):
            recipe.before_batch(run, number)
            loss = recipe.total(recipe.terms(*recipe.forward(run, batch), batch))
            for action in recipe.order:
                run.backward(loss) if action == "backward" else getattr(recipe, action)(run)
            recipe.average(run)
            recipe.after_batch(run)
        recipe.after_epoch(run)
        recipe.validate(run, epoch)
    found = auditor.finish(report=False)
    auditor.unpatch()
    return {f"{finding.rule_id}" for finding in found.findings}


def torchtest2(recipe: Recipe) -> set[str]:
    """As its page says: one call with a batch, a loss and the optimiser."""
    from torchtest2 import check_model

    run = recipe.setup()
    recipe.train_mode(run)
    batch = recipe.batches(run, 0)[0]

    def loss_of(output: Any, target: Any) -> Any:
        from watch_recipe import covariance_of

        covariance, position = covariance_of(output[0]), output[1].float()
        return recipe.total(recipe.terms(covariance, position, batch))

    report = check_model(
        run.model, batch[0], (batch[1], batch[2]), loss_fn=loss_of, optimizer=run.optimizer
    )
    bad = [result for result in report.results if result.status.name in ("FAIL", "WARN")]
    return {f"{result.name} {result.status.name}" for result in bad}


FINDERS: dict[str, Finder] = {"torch-audit": torch_audit, "torchtest2": torchtest2}


def main(name: str) -> None:
    warnings.simplefilter("ignore")
    find = FINDERS[name]
    normal = find(Recipe())
    say(f"without a bug: {sorted(normal)}")
    plain = [bug for bug in BUGS.values() if "plain" in bug.loops]
    named = 0
    for bug in plain:
        recipe = Recipe()
        bug.plant(recipe)
        torch.manual_seed(0)
        try:
            new = find(recipe) - normal
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            new = set()
            say(f"{bug.name}: {type(error).__name__} {error}"[:160])
        named += bool(new)
        if new:
            say(f"{bug.name} ({bug.alarm}): {sorted(new)}")
    say(f"{name}: {named} of {len(plain)} bugs")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
