"""Loads on the command line: from files of any format, with what is said of them before an answer is believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _terminal
from ._arrays import Array, Ints
from ._evaluation import Evaluation
from ._files.content import STDIN
from ._files.load_merge import Loads
from ._files.loads import find_sources, read_loads
from ._loads import count_windows
from ._output_file import refuse_inputs
from ._plan_doubts import doubts_of_plan
from ._report import Report
from ._windows import balances_windows, imbalance_alone


@dataclass(frozen=True)
class GivenLoads:
    """The loads of the arguments FILE.

    Attributes:
        loads: as read_loads reads them.
        name: the path of the file, or how many there are, for sentences.
        short: the same without folders.
        quiet: whether notes are for JSON alone.
        notes: what should be known of the loads, and of what is made of them.
    """

    loads: Loads
    name: str
    short: str
    quiet: bool
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Without the ending."""
        return Path(self.short).stem

    @property
    def weights(self) -> Array:
        """[L,E] of one window, else [T,L,E]."""
        counts = self.loads.counts
        return counts[0] if len(counts) == 1 else counts

    @property
    def layers(self) -> Ints:
        """The number of each layer."""
        return self.loads.layers

    @property
    def model_layers(self) -> list[int] | None:
        """The model's number of each layer, if the files have them."""
        return self.layers.tolist() if self.loads.numbered else None

    def note(self, text: str) -> None:
        """Says it on stderr, unless quiet."""
        self.notes.append(text)
        if not self.quiet:
            _terminal.complain(f"{self.name}: {text}")

    def note_plan(
        self, report: Report, evaluate: Callable[[Array], Evaluation], objective: str = "sum", moves: bool = False
    ) -> None:
        """Notes what a placement for these loads says against itself.

        Args:
            evaluate: the placement under other loads.
            objective: what was balanced.
            moves: as for doubts_of_plan.
        """
        windows = count_windows(self.weights)
        summed = windows > 1 and not balances_windows(objective, windows)
        alone = imbalance_alone(self.weights, evaluate) if summed else None
        for doubt in doubts_of_plan(report, windows, alone=alone, summed=summed, moves=moves):
            self.note(doubt)

    def show(self, found: Any, picture: Path | None, **sizes: Any) -> None:
        """Draws what was found of the loads, and shows it as a table and sentences, or as JSON if quiet.

        Args:
            found: an object that shows and draws itself.
            picture: the file to draw it to, if any.
            sizes: for JSON, what was asked for.
        """
        if picture is not None:
            found.draw(picture, title=self.title)
        if self.quiet:
            _terminal.print_json({**self.to_dict(), **sizes, **found.to_dict()})
        else:
            _terminal.show(found, self.short)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what was read, and what should be known of it."""
        return {
            "file": self.name,
            "files": [str(path) for path in self.loads.files],
            "source": self.loads.source,
            "layers": self.layers.tolist(),
            "warnings": self.notes,
        }


def read_given(files: Sequence[Path], outputs: Sequence[Path | None], quiet: bool, **reading: Any) -> GivenLoads:
    """Reads files, - for standard input, none of which may be an output. Notes go to stderr, unless quiet.

    Args:
        reading: the other arguments of read_loads.

    Raises:
        FileError: as read_loads; and an output that is an input.
    """
    files = [STDIN if path == Path("-") else path for path in files]
    paths = files[0] if len(files) == 1 else files
    refuse_inputs(outputs, [file for source in find_sources(paths)[0] for file in source.files])
    loads = read_loads(paths, **reading)
    several = f"{len(files)} files"
    name, short = (str(files[0]), files[0].name) if len(files) == 1 else (several, several)
    given = GivenLoads(loads, name, short, quiet)
    for note in loads.notes:
        given.note(note)
    return given
