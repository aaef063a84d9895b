"""What a training step spends its time on: the network, and everything else.

    python tests/learning/measure_step.py [PRESET] [STEPS]

By torch's profiler, on one thread, of the operators' own time: convolutions, normalisation and
activations are the network, forward and backward, and the optimiser is beside it; simulation,
features, look-agains, loss terms, their gradients, the watch and the logging are the rest. What
Python itself needs between the operators counts as the rest, too.
"""

import sys
import time
from itertools import chain

import torch
from torch.profiler import ProfilerActivity, profile

from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer

NETWORK = ("conv", "group_norm", "gelu", "native_layer_norm", "mkldnn")
OPTIMISER = ("Optimizer.", "_foreach_", "_fused_")


def main(preset: str, steps: int) -> None:
    torch.set_num_threads(1)
    settings = load_settings(preset)
    training = settings.training.replace(
        epochs=2, batches=steps, validation_scenes=settings.training.batch_size
    )
    trainer = Trainer(settings.replace(training=training))
    # Without the validation, which is no part of a step.
    trainer.validate = lambda weights=None: (1.0 / (1 + trainer.counters.epoch), {})
    trainer.train_epoch()
    start = time.process_time()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        trainer.train_epoch()
    whole = time.process_time() - start
    own = {event.key: event.self_cpu_time_total / 1e6 for event in seen.key_averages()}
    parts = {
        name: sum(seconds for key, seconds in own.items() if any(x in key for x in keys))
        for name, keys in (("network", NETWORK), ("optimiser", OPTIMISER))
    }
    # The profiler's own time falls between the operators.
    total = sum(own.values())
    rest = total - sum(parts.values())
    sys.stdout.write(f"{preset}: {whole / steps:.3f} s a step under the profiler\n")
    for name, seconds in chain(parts.items(), [("the rest", rest)]):
        sys.stdout.write(f"{name}: {seconds / total:.1%} of the operators' time\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "small", int((sys.argv[2:] or ["4"])[0]))
