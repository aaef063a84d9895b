"""What `ris-pipeline verify` does."""

import json
from typing import cast

from rich.console import Console

from ris_pipeline._errors import check_choice
from ris_pipeline.verification.adapters import Backend
from ris_pipeline.verification.implementation import Options
from ris_pipeline.verification.verdict_table import print_verdicts
from ris_pipeline.verification.verify import report_json, verify


def run(
    console: Console,
    target: str,
    name: str | None,
    examples: int,
    domain: str,
    backend: str | None,
    batched: bool | None,
    as_json: bool,
) -> bool:
    """Print the verdict on a target; whether every law holds.

    Raises:
        InputError: as `verify`, and an unknown backend.
    """
    if backend is not None:
        check_choice("backend", backend, ("torch", "numpy"))
    options = Options(cast("Backend | None", backend), domain, batched)
    verdicts = verify(target, name, options, examples)
    if as_json:
        text = json.dumps(report_json(target, verdicts), indent=2)
        console.print(text, soft_wrap=True, markup=False, highlight=False)
    else:
        print_verdicts(console, verdicts)
    return all(verdict.holds for verdict in verdicts)
