"""Tasks in processes of their own, several at a time, so that one that ends a process ends no more.

A fork has the function under test as it is, with nothing to be sent or imported again. Where forks
are not at hand, the tasks run one after the other in this process.
"""

import gc
import multiprocessing
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from ris_pipeline.verification.adapters import Stopped

Task = TypeVar("Task")
Result = TypeVar("Result")
Report = Callable[[str, int], None]
"""Told "start" or "end", and the number of the task."""


def _silent(event: str, number: int) -> None:
    pass


def run_tasks(
    run: Callable[[Task], Result],
    tasks: Sequence[Task],
    crashed: Callable[[Task, str], Result],
    processes: int = 2,
    report: Report = _silent,
) -> list[Result]:
    """`[run(task) for task in tasks]`.

    Args:
        run: what is done with a task.
        tasks: in their order, which is that of the results too.
        crashed: the result of a task whose process a signal ended, and that signal's name.
        processes: at a time; 1: in this process.
        report: told when a task starts and ends.

    Raises:
        Stopped: a task asked for the end of its process, or ended it without a word.
    """
    if processes < 2 or not sys.platform.startswith("linux"):
        results = []
        for number, task in enumerate(tasks):
            report("start", number)
            results.append(run(task))
            report("end", number)
        return results
    return _Pool(run, tasks, crashed, report).results(min(processes, len(tasks)))


class _Pool:
    """Processes that ask for one task after another."""

    def __init__(
        self,
        run: Callable[[Any], Any],
        tasks: Sequence[Any],
        crashed: Callable[[Any, str], Any],
        report: Report,
    ) -> None:
        self._run, self._tasks, self._crashed, self._report = run, tasks, crashed, report
        self._context = multiprocessing.get_context("fork")
        self._next = 0
        self._found: dict[int, Any] = {}
        self._busy: dict[Connection, tuple[Any, int]] = {}

    def results(self, processes: int) -> list[Any]:
        # What is there before the fork is not looked through by every child.
        gc.freeze()
        try:
            for _ in range(processes):
                self._start()
            while self._busy:
                for ready in wait(list(self._busy)):
                    assert isinstance(ready, Connection)
                    self._answered(ready)
        finally:
            gc.unfreeze()
            for process, _ in self._busy.values():
                process.kill()
        return [self._found[number] for number in range(len(self._tasks))]

    def _start(self) -> None:
        """One more process, if there is a task for it."""
        if self._next < len(self._tasks):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs, self._run), daemon=True)
            process.start()
            theirs.close()
            self._hand(ours, process)

    def _hand(self, connection: Connection, process: Any) -> None:
        """The next task, or the end."""
        self._busy.pop(connection, None)
        if self._next == len(self._tasks):
            # Said, since a later fork holds this end too, and closing it would end nothing.
            connection.send(())
            connection.close()
            process.join()
            return
        number, self._next = self._next, self._next + 1
        connection.send((self._tasks[number],))
        self._busy[connection] = process, number
        self._report("start", number)

    def _answered(self, connection: Connection) -> None:
        process, number = self._busy[connection]
        try:
            stopped, answer = connection.recv()
        except (EOFError, ConnectionError):
            del self._busy[connection]
            process.join()
            if process.exitcode >= 0:
                raise Stopped(f"the process ends with exit code {process.exitcode}") from None
            name = signal.Signals(-process.exitcode).name
            self._found[number] = self._crashed(self._tasks[number], name)
            self._report("end", number)
            self._start()
            return
        if stopped:
            raise Stopped(answer)
        self._found[number] = answer
        self._report("end", number)
        self._hand(connection, process)


def _work(connection: Connection, run: Callable[[Any], Any]) -> None:
    while given := connection.recv():
        try:
            connection.send((False, run(*given)))
        except Stopped as error:
            connection.send((True, str(error)))
