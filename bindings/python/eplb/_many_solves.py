"""Many solves of the same weights: on all cores, with a context for each thread, or on the workers of Dask."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from functools import partial
from queue import SimpleQueue
from threading import Event
from typing import Any

from ._arrays import Array
from ._context import Context
from ._errors import Error, Unavailable
from ._interrupts import interrupted, until
from ._library import STATUSES, integer
from ._report import Report

Progress = Callable[[int, int], None]
# Seconds that a scheduler has to answer.
_PATIENCE = "10s"


def count_threads(threads: int | None) -> int:
    """An argument num_threads; None: all cores that this process may use."""
    return len(os.sched_getaffinity(0)) if threads is None else integer("num_threads", threads, 1)


def solve_on_threads(weights: Array, problems: Sequence[dict[str, Any]], threads: int, done: Progress) -> list[Report]:
    """The report of each problem, arguments of Context.solve, in their order, whatever the number of threads.

    Args:
        done: called in this thread after each solve, with the number of those that are done and of all.
    """
    workers = min(threads, len(problems), count_threads(None))
    idle: SimpleQueue[Context] = SimpleQueue()
    ending = Event()

    def solve(problem: dict[str, Any]) -> Report:
        context = idle.get()
        try:
            if ending.is_set():
                raise interrupted()
            return context.solve(weights, **problem).report
        finally:
            idle.put(context)

    # Threads that have no solve of their own help with layers.
    contexts = [Context("cpu", threads // workers) for _ in range(workers)]
    for context in contexts:
        idle.put(context)
    pool, futures = ThreadPoolExecutor(workers), []
    try:
        futures += [pool.submit(solve, problem) for problem in problems]
        reports = _results(futures, as_completed(futures), done)
    except BaseException:
        ending.set()
        pool.shutdown(wait=False)
        until(lambda seconds: not wait(futures, seconds).not_done, partial(_end, contexts))
        raise
    pool.shutdown()
    for context in contexts:
        context.close()
    return reports


def _end(contexts: Sequence[Context]) -> None:
    for context in contexts:
        context.interrupt()


def solve_on_dask(weights: Array, problems: Sequence[dict[str, Any]], address: str, done: Progress) -> list[Report]:
    """The same on the workers of a Dask scheduler, which must have this package.

    Raises:
        Unavailable: Dask is not installed, nothing answers at the address, or a worker failed.
    """
    try:
        from distributed import Client
        from distributed import as_completed as as_answered
    except ModuleNotFoundError as error:
        text = f"dask needs {error.name}, which is not installed: pip install 'eplb[dask]', or leave dask out"
        raise _unavailable(text) from None
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError, TypeError) as error:
        raise _unavailable(f"dask is {address!r}, where no scheduler answers: {error}") from None
    with client:
        try:
            shared = client.scatter(weights, broadcast=True, hash=False)
            futures = [client.submit(_solve_there, shared, problem, pure=False) for problem in problems]
            return _results(futures, as_answered(futures), done)
        except Error:
            raise
        except Exception as error:
            text = f"a worker of dask at {address} failed, each needs eplb: {type(error).__name__}: {error}"
            raise _unavailable(text) from None


def _solve_there(weights: Array, problem: dict[str, Any]) -> Report | Error:
    try:
        with Context() as context:
            return context.solve(weights, **problem).report
    except Error as error:
        # Raised there, it would be in the worker's log as a crash.
        return error


def _results(futures: Sequence[Any], finished: Any, done: Progress) -> list[Report]:
    """In the order of futures; the first fault ends it."""
    for count, future in enumerate(finished, 1):
        answer = future.result()
        if isinstance(answer, Error):
            raise answer
        done(count, len(futures))
    return [future.result() for future in futures]


def _unavailable(text: str) -> Unavailable:
    return Unavailable(text, STATUSES["unavailable"], "EPLB_UNAVAILABLE")
