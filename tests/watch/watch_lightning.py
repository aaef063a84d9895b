"""The recipe as a LightningModule."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader
from watch_recipe import Recipe, Run

from ris_pipeline.watch import Watch
from ris_pipeline.watch.lightning import WatchCallback


class Module(LightningModule):
    """Forwards what the recipe says."""

    def __init__(self, recipe: Recipe, run: Run, callback: WatchCallback) -> None:
        super().__init__()
        self.recipe, self.callback = recipe, callback
        self.net = run.model
        self.state = [run]

    def configure_optimizers(self) -> Any:
        run = self.state[0]
        if run.scheduler is None:
            return run.optimizer
        interval = self.recipe.watch.get("_interval", "epoch")
        return [run.optimizer], [{"scheduler": run.scheduler, "interval": interval}]

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        recipe, run = self.recipe, self.state[0]
        recipe.before_batch(run, number)
        covariance, position = recipe.forward(run, batch)
        terms = recipe.terms(covariance, position, batch)
        loss = recipe.total(terms)
        self.callback.terms(terms, recipe.weights, **recipe.spectral(covariance, batch))
        self.state.append(loss.item())  # type: ignore[arg-type]
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(batch[0]))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, number: int) -> None:
        self.recipe.average(self.state[0])
        self.recipe.after_batch(self.state[0])

    def on_train_epoch_start(self) -> None:
        self.recipe.train_mode(self.state[0])

    def on_validation_epoch_start(self) -> None:
        self.recipe.validation_mode(self.state[0])

    def validation_step(self, batch: Any, number: int) -> None:
        recipe = self.recipe
        terms = recipe.terms(*recipe.forward(self.state[0], batch), batch)
        value = recipe.report_validation(recipe.total(terms).item(), self.current_epoch)
        self.log("val_loss", value, batch_size=len(batch[0]))

    def train_dataloader(self) -> Any:
        return DataLoader(self.recipe.batches(self.state[0], self.current_epoch), batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> Any:
        return DataLoader(self.recipe.validation(self.state[0]), batch_size=None)  # type: ignore[arg-type]


def fit(recipe: Recipe) -> Watch:
    run = recipe.setup()
    given: dict[str, Any] = {"averages": {"ema": run.ema}, "log": lambda line: None}
    given |= {k: v for k, v in recipe.watch.items() if not k.startswith("_")}
    callback = WatchCallback(**given)
    mode = "min" if recipe.better(0.0, 1.0) else "max"
    saved = ModelCheckpoint(monitor="val_loss", mode=mode, save_last=False, save_top_k=1)
    saved._save_checkpoint = lambda *arguments: None  # type: ignore[method-assign]
    trainer = Trainer(
        max_epochs=recipe.epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=True,
        callbacks=[callback, saved],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        gradient_clip_val=recipe.clip_norm,
        reload_dataloaders_every_n_epochs=1,
    )
    trainer.fit(Module(recipe, run, callback))
    assert callback.watch is not None
    return callback.watch
