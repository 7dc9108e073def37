"""Answers as the kind of array that an engine passes."""

from __future__ import annotations

from typing import Any

from .._arrays import Deliver, to_host


def delivery(like: Any, *, on_cpu: bool = False) -> Deliver:
    """Turns numpy arrays into the kind of `like` and puts them on its device, or on the CPU."""
    # Nothing of it is read: it may be large, and on a device.
    nothing = like[..., :0] if hasattr(like, "shape") else like
    return to_host("weight", nothing.cpu() if on_cpu and hasattr(nothing, "cpu") else nothing)[1]
