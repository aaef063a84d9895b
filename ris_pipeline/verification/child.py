"""The process that somebody's code runs in: `python -m ris_pipeline.verification.child REQUEST`.

Standard output carries lines of JSON to `supervisor`, and nothing else: what the code prints goes
to standard error. Laws run in forks of this process, so what one of them breaks is broken there.
"""

import io
import json
import os
import sys
from typing import Any

from ris_pipeline._errors import InputError
from ris_pipeline._tables import plain_console
from ris_pipeline.verification.adapters import Stopped
from ris_pipeline.verification.implementation import Options
from ris_pipeline.verification.verdict_table import print_verdicts
from ris_pipeline.verification.verify import Selection, exit_code, report_json, verify


def main() -> None:
    """Answer the request on the command line."""
    request = json.loads(sys.argv[1])
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    # What their code reads of the command line is its own name.
    sys.argv = [request["target"]]

    def send(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")

    try:
        send(done=_answer(request, lambda event, what: send(event=event, what=what)))
    except InputError as error:
        send(error=str(error))
    except Stopped as error:
        send(error=f"{request['target']} cannot be judged: {error}")


def _answer(request: dict[str, Any], report: Any) -> dict[str, Any]:
    options = Options(
        request["backend"], request["domain"], request["batched"], tuple(request["conventions"])
    )
    selection = Selection(frozenset(request["skip"]), request["expected"])
    verdicts = verify(
        request["target"],
        request["name"],
        options,
        request["examples"],
        selection=selection,
        processes=request["processes"],
        report=report,
    )
    text = io.StringIO()
    if request["json"]:
        text.write(
            json.dumps(report_json(request["target"], verdicts), indent=2, allow_nan=False) + "\n"
        )
    else:
        console = plain_console(
            file=text,
            width=request["width"],
            force_terminal=request["colour"],
            no_color=not request["colour"],
            highlight=False,
        )
        print_verdicts(console, verdicts)
    # A table pads its lines to the width of the console.
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return {"text": "\n".join([*lines, ""]), "code": exit_code(verdicts)}


if __name__ == "__main__":
    main()
