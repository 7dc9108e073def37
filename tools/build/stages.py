"""Stages of a long run, several at once: one alone rarely keeps all cores busy."""

import concurrent.futures
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from steps import Failure, show_line
from tally import Tally

LANES = 3  # stages at once: many run on one core or wait, and two of those together leave cores idle


@dataclass(frozen=True)
class Stage:
    name: str
    work: Callable[[Tally], object]  # counts its tests; after False or a Failure, what needs it is left out
    needs: Sequence[str] = ()  # names of earlier stages
    downloads: bool = False  # waits for a network most of the time: takes no lane


def run_stages(stages):
    """Runs each once those that it needs are done, the first in the list first. Returns the tally of all."""
    tallies, waiting = {}, list(stages)
    for stage in stages:
        if not tallies.keys() >= set(stage.needs):
            raise ValueError(f"{stage.name} needs {', '.join(stage.needs)}: not all are earlier stages")
        tallies[stage.name] = Tally()
    running, done, lost = {}, set(), set()
    with concurrent.futures.ThreadPoolExecutor(len(stages)) as pool:
        while waiting or running:
            for stage in list(waiting):
                free = LANES - sum(not other.downloads for other in running.values())
                if lost.intersection(stage.needs):
                    waiting.remove(stage)
                    lost.add(stage.name)
                elif done.issuperset(stage.needs) and (stage.downloads or free > 0):
                    show_line(f"   {stage.name} ...")
                    waiting.remove(stage)
                    running[pool.submit(succeeds, stage, tallies[stage.name])] = stage
            for future in concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED).done:
                (done if future.result() else lost).add(running.pop(future).name)
    return sum(tallies.values(), Tally())


def succeeds(stage, tally):
    """A step that fails, and is not a test of its own, counts as one."""
    try:
        return stage.work(tally) is not False
    except Failure:
        tally.add(0, 1, 0)
        return False
