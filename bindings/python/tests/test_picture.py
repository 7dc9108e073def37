"""The picture is drawn for one layer and for many, for few GPUs and for many. How it looks, a person must judge."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from eplb import _command
from eplb.picture import FORMATS, draw_comparison


@pytest.mark.parametrize("sizes", [(1, 1), (1, 8), (1, 144), (3, 16), (13, 2), (58, 32), (58, 144), (300, 8)])
def test_sizes(tmp_path, sizes):
    random = np.random.default_rng(0)
    before, after = random.lognormal(0, 1, sizes), random.lognormal(0, 0.01, sizes)
    path = tmp_path / "picture.png"
    draw_comparison(path, before, after, after.mean(axis=1), title="of no model")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    draw_comparison(path, np.ones((2, 4)), np.ones((2, 4)), np.ones(2), title="$even & <good>_")
    assert path.stat().st_size > 1000


def test_layer_without_load(tmp_path):
    zeros = np.zeros((2, 4))
    draw_comparison(tmp_path / "picture.png", zeros, zeros, np.zeros(2), title="nothing")


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
