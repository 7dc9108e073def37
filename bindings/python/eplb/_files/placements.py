"""Placements in files of engines and of this package: one table of formats, read by content, written by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import FileError, InvalidArgument
from .._library import integer, invalid_argument
from .._output_file import check_output, path_of, write_file
from .._plan import DevicePlan, Plan
from . import kinds
from . import placement_ascend as ascend
from . import placement_eplb as ours
from . import placement_lightllm as lightllm
from . import placement_sglang as sglang
from . import placement_tensorrt_llm as tensorrt_llm
from .content import Content, read_content
from .load_named import NAMES
from .numpy_files import read_numpy
from .parsed import import_torch, read_json, read_torch, read_yaml
from .placement import Known, Placement, Wishes
from .rows import read_csv
from .values import MOST_LAYERS, bounded


@dataclass(frozen=True)
class Format:
    """A format of placements.

    Attributes:
        suffixes: that it is written with.
        key: of the mapping that a file of the format holds, by which it is recognised.
        read: from the content, refusing what breaks a rule of the format.
        write: to bytes, refusing what the format cannot express.
        also: other names for it.
        numbered: whether its layers have the model's numbers, so that a wrong first one is a wrong file.
    """

    suffixes: tuple[str, ...]
    key: str
    read: Callable[[Path, Mapping[str, Any], Known], Placement]
    write: Callable[[Path, Placement, Wishes], bytes]
    also: tuple[str, ...] = ()
    numbered: bool = False


FORMATS = {
    "eplb": Format((".npz", ".json"), ours.MAP, ours.read, ours.write),
    "sglang": Format((".json", ".pt"), sglang.MAP, sglang.read, sglang.write, numbered=True),
    "tensorrt-llm": Format(
        (".yaml", ".yml"), tensorrt_llm.ASSIGNMENTS, tensorrt_llm.read, tensorrt_llm.write, ("trtllm",), True
    ),
    "ascend": Format((".json",), ascend.LAYERS, ascend.read, ascend.write, ("vllm-ascend",)),
    "lightllm": Format((".json",), lightllm.REDUNDANT, lightllm.read, lightllm.write, numbered=True),
    "lightllm-older": Format((".json",), lightllm.EXTRA, lightllm.read_older, lightllm.write_older, numbered=True),
}
_NAMES = {also: name for name, form in FORMATS.items() for also in (name, *form.also)}
_READERS: dict[kinds.Kind, Callable[[Content], Any]] = {
    kinds.NPY: read_numpy,
    kinds.NPZ: read_numpy,
    kinds.TORCH: read_torch,
    kinds.YAML: read_yaml,
    kinds.JSON: read_json,
    kinds.TABLE: read_csv,
}
# Of formats that share a suffix, the first.
_BY_SUFFIX = {suffix: name for name, form in reversed(FORMATS.items()) for suffix in form.suffixes}


def read_placement(
    path: str | PathLike[str],
    *,
    num_gpus: int | None = None,
    num_experts: int | None = None,
    first_layer: int | None = None,
    layers: Iterable[int] | None = None,
) -> Placement:
    """Reads a placement from a file of any known format, which is recognised by its content.

    Formats are those of write_placement; of LightLLM, both forms. An .npz or .pt may have the names of SGLang, too, and
    a .pt may be a bare table, or a dump of vLLM's. CSV and .npy [layers, slots] are bare tables. Each may be packed, as
    files of loads may. YAML needs PyYAML, .pt needs torch; neither is loaded with anything but plain data.

    Args:
        path: the file.
        num_gpus: GPUs, G, where the file does not say it.
        num_experts: experts of a layer, E, where the file does not say it.
        first_layer: the model's number of the first layer with experts: for files that do not number layers, and for
            SGLang's, whose rows below it are left out.
        layers: numbers of the layers that are wanted; or, if the file does not number them, of all that it has.

    Raises:
        FileError: no such file, or no placement in it; one sentence that begins with the path.
        InvalidArgument: an argument that cannot be.
    """
    file = path_of(path)
    sizes = {"num_gpus": num_gpus, "num_experts": num_experts}
    for name, size in sizes.items():
        if size is not None:
            integer(name, size, 1)
    wanted = None if layers is None else list(layers)
    placement = load_placement(file, Known(num_gpus, num_experts, wanted))
    for name, size in sizes.items():
        own = getattr(placement, name)
        if None not in (size, own) and own != size:
            raise FileError(f"{file}: {name} is {own}, but {size} was asked for")
    return _of_file(file, lambda: _placed(placement, num_gpus, num_experts).number(first_layer, wanted))


def load_placement(path: Path, known: Known) -> Placement:
    """As read_placement, but what the file says comes before what is known; layers are as the file has them."""
    with bounded(path):
        return _placement_of(path, known)


def _placement_of(path: Path, known: Known) -> Placement:
    content = read_content(path)
    kind = kinds.kind_of(content)
    if kind not in _READERS:
        raise FileError(f"{path}: is {kind.name}, in which no placements are known")
    value = _READERS[kind](content)
    if isinstance(value, np.ndarray):
        return _of_file(path, lambda: ours.read_table(path, value, known))
    if not isinstance(value, Mapping):
        raise FileError(f"{path}: holds no {ours.MAP} or what engines call it: it must be a mapping")
    form = next((form for form in FORMATS.values() if form.key in value), None)
    if form is None:
        names = ", ".join(form.key for form in FORMATS.values())
        loads = next((name for name in NAMES if name in value), None)
        if loads is not None:
            raise FileError(f"{path}: holds loads, not a placement: {loads}")
        raise FileError(f"{path}: holds no placement, which would be called one of {names}")
    return _of_file(path, lambda: form.read(path, value, known))


def _of_file(path: Path, make: Callable[[], Placement]) -> Placement:
    try:
        return make()
    except InvalidArgument as error:
        raise FileError(f"{path}: {error}") from None


def write_placement(
    path: str | PathLike[str],
    placement: Any,
    *,
    format: str | None = None,
    num_gpus: int | None = None,
    num_experts: int | None = None,
    first_layer: int | None = None,
    layers: Iterable[int] | None = None,
    num_hidden_layers: int | None = None,
    layer_updates_per_iter: int = 0,
) -> None:
    """Writes a placement as an engine reads it. The file is there whole or not at all.

    | format           | suffixes     | layers                   | refused                                         |
    |------------------|--------------|--------------------------|-------------------------------------------------|
    | `eplb`           | .npz, .json  | numbers, where known     | nothing                                         |
    | `sglang`         | .json, .pt   | all hidden layers        | empty slots                                     |
    | `tensorrt-llm`   | .yaml, .yml  | numbers                  | empty slots                                     |
    | `ascend`         | .json        | those with experts       | empty slots, an expert twice on a GPU           |
    | `lightllm`       | .json        | numbers                  | the same, and E that is no multiple of the GPUs |
    | `lightllm-older` | .json        | numbers                  | all but an even share, then the same extra ones |

    All but `eplb` refuse an expert without a slot, too.

    Args:
        path: the file.
        placement: a Plan, a Placement, or integers [L,S].
        format: a name of the table. None: the word before the last suffix if it is one, as in `plan.sglang.json`; else
            by the suffix: .npz and .json are `eplb`, .yaml and .yml `tensorrt-llm`, .pt `sglang`.
        num_gpus: GPUs, where the placement does not say it.
        num_experts: experts of a layer, where the placement does not say it. None: one more than the largest in a slot.
        first_layer: the model's number of the first layer with experts, such as 3 for DeepSeek-V3. None: that of the
            placement, 0 if it has none. Of a placement that SGLang counted, layers below it are left out.
        layers: the model's number of each layer instead; of a placement that has numbers, those that are wanted.
        num_hidden_layers: rows of `sglang`. None: up to the last layer of the placement. Layers that the placement
            lacks get a row with experts 0, 1, 2, ...
        layer_updates_per_iter: of `tensorrt-llm`; 0: the placement stays as it is.

    Raises:
        FileError: the format cannot express the placement, or the file cannot be written; one sentence that begins
            with the path. What was there is then as it was.
        InvalidArgument: an argument that cannot be.
    """
    file = path_of(path)
    name = check_format(file, format)
    if isinstance(placement, Plan):
        # Other formats have no place for it, and a report takes an evaluation if it was not read yet.
        problem = ours.problem_of_plan(placement) if name == "eplb" else None
        value = Placement(placement, None, placement.num_gpus, placement.replica_count.shape[1], problem=problem)
    else:
        value = placement
    source = _placed(value, num_gpus, num_experts)
    if name == "ascend" and source.has_dense_rows and first_layer is None and layers is None:
        text = "SGLang counts layers without experts and vllm-ascend does not: give first_layer (--first-layer)"
        raise FileError(f"{file}: {text}")
    numbered = source.number(first_layer, layers)
    hidden = None if num_hidden_layers is None else integer("num_hidden_layers", num_hidden_layers, 1, MOST_LAYERS)
    plan = placement if isinstance(placement, Plan) and not isinstance(placement, DevicePlan) else None
    store(file, name, numbered, Wishes(hidden, layer_updates_per_iter, plan))


def store(path: Path, format: str, placement: Placement, wishes: Wishes) -> None:
    """Writes a placement whose layers are numbered as they are to be. What the format refuses is found first."""
    content = FORMATS[format].write(path, placement, wishes)
    check_output(path)
    write_file(path, content)


def _placed(value: Any, num_gpus: int | None, num_experts: int | None) -> Placement:
    """What is to be written, with sizes that are asked for where it says none."""
    if not isinstance(value, Placement):
        return Placement(value, None, num_gpus, num_experts)
    if num_gpus is not None and value.num_gpus not in (None, num_gpus):
        raise invalid_argument(f"num_gpus is {num_gpus}, but the placement is of {value.num_gpus} GPUs")
    return Placement(
        value.physical_to_logical,
        value.layers.tolist() if value.numbered else None,
        num_gpus or value.num_gpus,
        num_experts or value.num_experts,
        has_dense_rows=value.has_dense_rows,
        problem=value.problem,
    )


def check_format(path: Path, format: str | None = None) -> str:
    """The name of the format that a file is to have.

    Raises:
        FileError: a suffix that no format or not this one has, or torch is missing for it.
        InvalidArgument: no format of this name.
    """
    if format is not None and format not in _NAMES:
        raise invalid_argument(f"format is {format!r}, must be one of {', '.join(FORMATS)}")
    suffix, suffixes = path.suffix.lower(), [each.lower() for each in path.suffixes]
    word = suffixes[-2][1:] if len(suffixes) > 1 else None
    name = _NAMES.get(format or word or "", _BY_SUFFIX.get(suffix))
    if format is None and word == "vllm":
        raise FileError(f"{path}: vLLM reads no placement from a file: docs/engines.md says how it plans with eplb")
    if name is None:
        raise FileError(f"{path}: a plan is written as .npz or .json, for some engines as .yaml or .pt")
    if suffix not in FORMATS[name].suffixes:
        raise FileError(f"{path}: a plan of the format {name} is written as {' or '.join(FORMATS[name].suffixes)}")
    if suffix == ".pt":
        import_torch(path)
    return name
