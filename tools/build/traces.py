"""Measured expert weights. They are not in the repository: they carry no licence."""

import os

from places import ROOT

# The distinct DeepSeek-V3 traces; the others in that folder are near copies of these.
NAMES = ("prefill-in512", "prefill-in1024", "prefill-in2048", "decode-in1000out1000")


def shared_folder():
    """Data that several projects use, in the repository or next to it; None if there is none."""
    places = [os.path.join(ROOT, "shared"), os.path.join(ROOT, "..", "shared")]
    return next((place for place in places if os.path.isdir(place)), None)


def measured_traces():
    """Paths relative to the repository, of those that are here."""
    data = os.path.join(shared_folder() or "", "data")
    paths = [os.path.join(data, f"deepseek-v3_{name}_L58xE256.csv") for name in NAMES]
    return [os.path.relpath(path, ROOT) for path in paths if os.path.exists(path)]
