"""Processes that are the ranks of an engine: forked once it is imported, on loopback with gloo."""

import multiprocessing
import os
import queue
import socket
import traceback

SECONDS = 300  # in which all ranks must be done


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_ranks(world, work, *arguments, environment=None):
    """work(rank, *arguments) in `world` processes; what each returned, by rank.

    Raises:
        AssertionError: a rank raised, with its traceback, ended without an answer, or was not done in time.
    """
    context = multiprocessing.get_context("fork")
    answers, port = context.Queue(), free_port()
    ranks = [
        context.Process(target=_rank, args=(rank, world, port, answers, environment or {}, work, arguments))
        for rank in range(world)
    ]
    for each in ranks:
        each.start()
    found = {}
    try:
        for _ in range(world):
            rank, done, answer = _next(answers, ranks)
            # The others may wait for it.
            assert done, f"rank {rank}: {answer}"
            found[rank] = answer
        for each in ranks:
            each.join(SECONDS)
    finally:
        for each in ranks:
            each.kill()
            each.join()
    return [found[rank] for rank in range(world)]


def _next(answers, ranks):
    try:
        return answers.get(timeout=SECONDS)
    except queue.Empty:
        codes = [each.exitcode for each in ranks]
        raise AssertionError(f"a rank has not answered in {SECONDS} s; exit codes {codes}") from None


def _rank(rank, world, port, answers, environment, work, arguments):
    for name, value in environment.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})
    import torch

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    try:
        answer = rank, True, work(rank, *arguments)
        torch.distributed.barrier()
    except BaseException:  # that of a plug-in may be SystemExit
        answer = rank, False, traceback.format_exc()
    answers.put(answer)
    # Until the answer is written; then without what the engine has registered for the end.
    answers.close()
    answers.join_thread()
    os._exit(0)
