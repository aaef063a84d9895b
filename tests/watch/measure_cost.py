"""What the default sampling costs on `small`: two trainers in turn, an epoch each, paired.

python tests/watch/measure_cost.py [PAIRS]
"""

import statistics
import sys
import time

from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer

BATCHES = 10


def main(pairs: int) -> None:
    small = load_settings("small")
    training = small.training.replace(epochs=pairs, batches=BATCHES, validation_scenes=128)
    settings = small.replace(training=training)
    trainers = [Trainer(settings), Trainer(settings)]
    watch = trainers[1].start_watch(log=lambda line: None)
    # The first one without the watch that it would start by itself.
    trainers[0].start_watch = lambda: None  # type: ignore[assignment]
    rows = []
    for number in range(pairs):
        seconds = [0.0, 0.0]
        for place in (0, 1) if number % 2 else (1, 0):
            start = time.process_time()
            trainers[place].train_epoch()
            seconds[place] = time.process_time() - start
        rows.append(seconds)
        say(rows, [alarm.name for alarm in watch.alarms])


def say(rows: list[list[float]], alarms: list[str]) -> None:
    """The whole so far, and the median of the pairs."""
    steps = len(rows) * BATCHES
    bare, watched = (sum(row[place] for row in rows) for place in (0, 1))
    middle = statistics.median(row[1] / row[0] for row in rows)
    sys.stdout.write(
        f"{steps} steps: {steps / bare:.3f} steps/s without, {steps / watched:.3f} with: "
        f"{watched / bare - 1:+.2%}; median of pairs {middle - 1:+.2%}; alarms {alarms}\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
