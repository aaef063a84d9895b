"""One thread for every curve; `golden_curve` and `--update` come with the package."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    # The order of a sum depends on the number of threads that share it.
    torch.set_num_threads(1)
