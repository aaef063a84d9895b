"""The journal of a search, written whole lines at a time. Imports Optuna."""

import json
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from ris_pipeline._files import append_text, cannot_write, open_to_append


class StudyFile(JournalFileBackend):
    """Optuna's journal, which leaves half a line, and with it a study that cannot be read, where a
    disk fills up."""

    def __init__(self, path: Path) -> None:
        self._path, self._held = path, JournalFileSymlinkLock(str(path))
        # What is no regular file is refused before anybody waits for it.
        open_to_append(path).close()
        super().__init__(str(path), self._held)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines, all of them or none.

        Raises:
            InputError: they cannot be written.
        """
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
        try:
            self._held.acquire()
        except OSError as error:
            raise cannot_write(self._path, error) from None
        try:
            append_text(self._path, "".join(lines))
        finally:
            self._held.release()
