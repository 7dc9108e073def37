"""Several files and folders of loads: windows in order of time, and shares of ranks."""

import gzip

import numpy as np
import pytest
from eplb import read_loads
from load_files import CSV, TABLE, refused, write


def windows(tmp_path, names):
    """A file of one layer for each name, that holds its place in the list."""
    return [write(tmp_path / name, f"{place},5\n") for place, name in enumerate(names)]


def places(loads):
    return loads.counts[:, 0, 0].tolist()


@pytest.mark.parametrize(
    "names",
    [
        ["load1.csv", "load2.csv", "load10.csv"],
        ["rearr9.csv", "rearr10.csv", "rearr11.csv"],
        ["day2/hour1.csv", "day2/hour10.csv", "day10/hour1.csv"],
        # Seconds since 1970 have a fraction, and it has as many digits as Python prints.
        ["dump_1732990000.12.csv", "dump_1732990000.5.csv", "dump_1732990010.csv"],
        ["a.csv", "a1.csv", "b.csv"],
    ],
)
def test_windows_in_natural_order(tmp_path, names):
    paths = windows(tmp_path, names)
    loads = read_loads(tmp_path)
    assert places(loads) == [0, 1, 2]
    assert loads.source.endswith("3 files, in natural order of names")
    assert loads.files == tuple(paths)
    # As a shell makes of *.
    assert places(read_loads(sorted(map(str, paths)))) == [0, 1, 2]


def test_windows_in_the_order_given(tmp_path):
    paths = windows(tmp_path, ["monday.csv", "friday.csv", "sunday.csv"])
    loads = read_loads(paths)
    assert places(loads) == [0, 1, 2]
    assert loads.source.endswith(", in the order given")
    assert places(read_loads(iter(paths[::-1]))) == [2, 1, 0]


def test_windows_of_different_formats(tmp_path):
    np.save(tmp_path / "1.npy", [TABLE, TABLE])
    write(tmp_path / "2.csv", CSV)
    write(tmp_path / "3.csv", "0.5,1,1,1\n1,1,1,1\n")
    loads = read_loads(tmp_path)
    assert loads.counts.shape == (4, 2, 4)
    assert loads.counts.flags.carray
    assert loads.counts.dtype == np.float64
    assert loads.source == "array, CSV: 3 files, in natural order of names"


def test_windows_that_do_not_fit(tmp_path):
    first, second = write(tmp_path / "1.csv", CSV), write(tmp_path / "2.csv", "1,2,4\n3,4,6\n")
    assert refused([first, second]) == f"{second}: has 2 layers of 3 experts, but {first} has 2 layers of 4 experts"
    indexed = write(tmp_path / "3.csv", "3,1,2,4,5\n4,3,4,6,7\n")
    plain = write(tmp_path / "4.csv", "0,1,2,4,5\n1,3,4,6,7\n")
    assert refused([plain, indexed], index=True) == f"{indexed}: has layers 3 to 4, but {plain} has layers 0 to 1"


def test_folders(tmp_path):
    windows(tmp_path, ["1.csv", "2.csv.gz", "3/1.json", ".hidden.csv", "README.md", "server.log"])
    write(tmp_path / "2.csv.gz", gzip.compress(b"1,5\n"))
    write(tmp_path / "3" / "1.json", "[[2, 5]]")
    loads = read_loads(tmp_path)
    assert places(loads) == [0, 1, 2]
    assert loads.notes == (f"{tmp_path}: not read: README.md, server.log",)


@pytest.mark.parametrize("names", [["rank0.csv", "rank1.csv"], ["load_rank-0.csv", "load_rank-1.csv"]])
def test_ranks_are_summed(tmp_path, names):
    for name, factor in zip(names, (1, 10), strict=True):
        write(tmp_path / name, f"{factor},{2 * factor}\n")
    loads = read_loads(tmp_path)
    assert loads.counts.tolist() == [[[11, 22]]]
    assert loads.source == "CSV: 2 files, 2 ranks summed, in natural order of names"
    assert loads.notes == ()


def test_windows_of_ranks(tmp_path):
    for rank in range(3):
        for minute in range(2):
            write(tmp_path / f"rank{rank}_{minute}.csv", f"{10**rank},{minute}\n")
    loads = read_loads(tmp_path)
    assert loads.counts.tolist() == [[[111, 0]], [[111, 3]]]
    (tmp_path / "rank1_0.csv").unlink()
    assert "rank 1 has 1 window, but rank 0 has 2" in refused(tmp_path)
    (tmp_path / "rank1_1.csv").unlink()
    assert read_loads(tmp_path).notes == ("there are no files of rank 1, so what their tokens add is not counted",)
    write(tmp_path / "all.csv", "1,2\n")
    assert "holds the share of rank 0" in refused(tmp_path)


def test_sums_of_ranks_do_not_wrap_around(tmp_path):
    for rank in range(2):
        write(tmp_path / f"rank{rank}.csv", f"{2**62},1\n")
    assert "the sums are above 2^63 - 1" in refused(tmp_path)


def test_of_one_rank_alone(tmp_path):
    assert read_loads(write(tmp_path / "lowrank16.csv", CSV)).notes == ()
    path = write(tmp_path / "rank0.csv", CSV)
    assert read_loads(path).notes == ("there are no files of other ranks, so what their tokens add is not counted",)
