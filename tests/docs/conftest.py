"""The library and the checkout as the reader of a document has them."""

import subprocess

import pytest
from commands import build_folder
from documents import ROOT


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The library as a user has it: installed, found through pkg-config."""
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", build_folder(), "--prefix", prefix], check=True, capture_output=True)
    package = next(prefix.rglob("eplb.pc"))
    return {"PKG_CONFIG_PATH": str(package.parent), "LD_LIBRARY_PATH": str(package.parents[1])}


@pytest.fixture
def folder(tmp_path):
    """Looks like the top of the repository, but what examples write does not land there."""
    for name in ("examples", "include"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path
