"""When the watch may look closely: a share of the run's time, and an allowance to begin with.

    spent <= allowance + share * elapsed

A bug of the loop is there from the first step, and a loop of a millisecond a step can be seen whole
within the allowance; a long run pays the share.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ris_pipeline._validation import check_range


class Sampling:
    """Decides which steps are looked at closely.

    Args:
        share: of the run's time, 0..1; by default a third of the 3 % that a watch may cost.
        allowance: seconds that may be spent at once; infinite: every step is looked at.
        clock: seconds; of this process by default, so that a busy machine changes nothing.

    Raises:
        InputError: a share outside 0..1, or a negative allowance.
    """

    def __init__(
        self,
        share: float = 0.01,
        allowance: float = 0.5,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        check_range("share", share, 0.0, 1.0)
        check_range("allowance", allowance, 0.0, float("inf"))
        self.share, self.allowance, self.clock = share, allowance, clock
        self.spent = 0.0
        self._start: float | None = None

    def due(self) -> bool:
        """Whether the coming step may be looked at closely."""
        now = self.clock()
        if self._start is None:
            self._start = now
        return self.spent <= self.allowance + self.share * (now - self._start)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """What runs inside is charged to the budget."""
        start = self.clock()
        try:
            yield
        finally:
            self.spent += self.clock() - start
