"""What a rebalance starts from: where experts are, and the GPUs that there are now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._arrays import Array
from ._cluster import Cluster
from ._errors import FileError, InvalidArgument
from ._files.content import read_content
from ._files.placement import Placement
from ._files.rows import read_csv
from ._options import parse_numbers

_OF_GROUPS = ("num_groups", "policy", "off_home_target")


@dataclass
class Start:
    """Where experts are [L,S], -1 where nothing is; sizes as a plan's file has them; slots and speed of each GPU.

    layers are the model's numbers of them, if they are known.
    """

    current: Array
    sizes: dict[str, Any]
    slots: list[int]
    speed: list[float] | None
    layers: list[int] | None

    @property
    def num_gpus(self) -> int:
        return len(self.slots)

    @property
    def cluster(self) -> Cluster:
        """Without arrays where all GPUs are equal."""
        places = self.current.shape[1] // self.num_gpus
        slots = None if all(count == places for count in self.slots) else self.slots
        return Cluster(self.num_gpus, num_nodes=self.sizes["num_nodes"], slots=slots, speed=self.speed)

    def problem(self) -> dict[str, Any]:
        """Arguments of Context.rebalance."""
        return {"cluster": self.cluster, **{name: self.sizes[name] for name in _OF_GROUPS}}

    def settings(self) -> dict[str, Any]:
        """What a file says of it, as plain numbers."""
        cluster = self.cluster
        slots, speed = (None if values is None else list(values) for values in (cluster.slots, cluster.speed))
        return {**self.sizes, "num_slots": self.current.shape[1], "gpu_slots": slots, "gpu_speeds": speed}

    def change_gpus(self, dead: str | None, drain: str | None, slots: Path | None, speeds: Path | None) -> None:
        """As the options of the command say."""
        if slots is not None:
            self.slots = [_whole(slots, gpu, value) for gpu, value in enumerate(self._row(slots))]
        places = self.current.shape[1] // self.num_gpus
        if speeds is not None:
            self.speed = self._row(speeds)
            try:
                Cluster(speed=self.speed)
            except InvalidArgument as error:
                raise FileError(f"{speeds}: {error}") from None
        if slots is not None and max(self.slots) > places:
            gpu = self.slots.index(max(self.slots))
            raise FileError(f"{slots}: GPU {gpu} has {self.slots[gpu]} slots, but the plan has room for {places}")
        for gpu in self._parse("--dead", dead):
            self.current[:, gpu * places : (gpu + 1) * places] = -1
            self.slots[gpu] = 0
        for gpu in self._parse("--drain", drain):
            self.slots[gpu] = 0

    def _row(self, path: Path) -> list[Any]:
        row: list[Any] = read_csv(read_content(path)).ravel().tolist()
        if len(row) != self.num_gpus:
            raise FileError(f"{path}: {len(row)} values, must have one for each of {self.num_gpus} GPUs")
        return row

    def _parse(self, option: str, text: str | None) -> list[int]:
        return [] if text is None else parse_numbers(option, text, "GPUs", self.num_gpus)


def read_start(path: Path, asked: dict[str, Any], placement: Placement) -> Start:
    """From the plan of a file. What is asked for replaces what it says; more GPUs than it has are new.

    Raises:
        FileError: it does not fit.
    """
    problem = {**placement.problem}
    if placement.num_gpus is not None:
        problem["num_gpus"] = placement.num_gpus
    sizes = {"num_nodes": 1, "num_groups": 1, "policy": "auto", "off_home_target": 1.01, **problem, **asked}
    if "num_gpus" not in sizes:
        raise FileError(f"{path}: does not tell the number of GPUs: give --gpus")
    had, gpus = problem.get("num_gpus", sizes["num_gpus"]), sizes["num_gpus"]
    slots = placement.physical_to_logical.shape[1]
    if had < 1 or slots % had:
        raise FileError(f"{path}: {slots} slots of a layer are no multiple of {had} GPUs")
    if gpus < had:
        raise FileError(
            f"{path}: is on {had} GPUs, more than --gpus {gpus}: name those that leave with --drain or --dead"
        )
    places, new = slots // had, gpus - had
    current = np.pad(placement.physical_to_logical, ((0, 0), (0, new * places)), constant_values=-1)
    known = [sizes.pop(name, None) for name in ("gpu_slots", "gpu_speeds")]
    if any(values is not None and len(values) != had for values in known):
        raise FileError(f"{path}: gpu_slots and gpu_speeds must have one value for each of {had} GPUs")
    sizes.pop("num_slots", None)
    # New ones are as fast as the others on average, unless --speeds says it.
    speed = None if known[1] is None else known[1] + [sum(known[1]) / had] * new
    layers = placement.layers.tolist() if placement.numbered else None
    return Start(current, sizes, (known[0] or [places] * had) + [places] * new, speed, layers)


def _whole(path: Path, gpu: int, value: float) -> int:
    if value % 1 != 0:
        raise FileError(f"{path}: GPU {gpu} has {value} slots, must be a whole number")
    return int(value)
