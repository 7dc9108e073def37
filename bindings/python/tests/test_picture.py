"""The picture is drawn for one layer and for many, for few GPUs and for many. How it looks, a person must judge."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from eplb import _command
from eplb._loads import relative_loads
from eplb.picture import FORMATS, Windows, draw_comparison, write_picture


def write(path, before, after, **more):
    times = [None if each is None else relative_loads(each) for each in (before, after)]
    write_picture(draw_comparison(*times, np.ones(len(after)), **{"title": "of no model", **more}), path)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 8), (1, 144), (3, 16), (13, 2), (58, 32), (58, 144), (300, 8)])
def test_sizes(tmp_path, sizes):
    random = np.random.default_rng(0)
    before, after = random.lognormal(0, 1, sizes), random.lognormal(0, 0.01, sizes)
    for name, loads in {"both.png": (before, after), "one.png": (None, after)}.items():
        write(tmp_path / name, *loads)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("windows", [2, 13, 64])
@pytest.mark.parametrize("layers", [1, 58])
def test_windows(tmp_path, layers, windows):
    random = np.random.default_rng(0)
    loads = random.lognormal(0, 1, (layers, 8))
    before, after = (1 + random.lognormal(-1, 1, (layers, windows)) for _ in range(2))
    write(tmp_path / "sum.png", loads, loads)
    write(tmp_path / "all.png", loads, loads, windows=Windows(before, after, np.ones_like(after)))
    heights = [int.from_bytes((tmp_path / name).read_bytes()[20:24], "big") for name in ("sum.png", "all.png")]
    assert heights[1] > heights[0] + 200


def test_command_with_windows(tmp_path):
    # A window and a layer in another one have no load.
    weights = np.array([[[600, 560, 120, 120], [1, 2, 3, 4]], [[0] * 4] * 2, [[4, 3, 2, 1], [0] * 4]])
    for count in (2, 3, 65):
        np.save(tmp_path / "windows.npy", weights[np.arange(count) % 3])
        arguments = ["solve", str(tmp_path / "windows.npy"), "--slots", "8", "--gpus", "4"]
        assert _command.run([*arguments, "--picture", str(tmp_path / f"{count}.png")]) == 0
        assert (tmp_path / f"{count}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    write(path, np.ones((2, 4)), np.ones((2, 4)), title="$even & <good>_")
    assert path.stat().st_size > 1000


def test_layer_without_load(tmp_path):
    zeros = np.zeros((2, 4))
    write(tmp_path / "picture.png", zeros, zeros)


def test_command(tmp_path, capsys):
    weights = tmp_path / "weights.csv"
    weights.write_text("600,560,120,120,20,10,10,10\n")
    arguments = ["solve", str(weights), "--slots", "16", "--gpus", "8"]
    assert _command.run([*arguments, "--picture", str(tmp_path / "plan.png")]) == 0
    assert (tmp_path / "plan.png").exists()
    assert _command.run([*arguments, "--picture", str(tmp_path / "plan.gif")]) == 2
    assert "a picture is written as png, svg, pdf" in capsys.readouterr().err
    (tmp_path / "folder.png").mkdir()
    assert _command.run([*arguments, "--picture", str(tmp_path / "folder.png")]) == 2
    assert "folder.png: is a directory" in capsys.readouterr().err
