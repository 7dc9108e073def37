"""Reads eplb.h, so that declarations and constants are not duplicated here."""

from __future__ import annotations

import os
import re

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CPLUSPLUS = re.compile(r"^#ifdef __cplusplus$.*?^#endif$", re.DOTALL | re.MULTILINE)
_PREPROCESSOR = re.compile(r"^#.*$", re.MULTILINE)
_CONSTANTS = re.compile(r"typedef int32_t (eplb_\w+);\s*enum \{([^}]*)\}")
_FUNCTION = re.compile(r"\b(eplb_\w+)\(")
_STRUCT = re.compile(r"\beplb_status (eplb_\w+)_init\(")
_SINCE = re.compile(r"\bSince[\s*]+ABI[\s*]+(\d+)\.(\d+)")
_CONSTANT = re.compile(r"\b(EPLB_\w+) = (\d+)")


class Header:
    """What eplb.h declares.

    Attributes:
        abi: major and minor version of the ABI, that of its latest additions.
        declarations: the header as cffi reads it.
        functions: their names.
        structs: those that have an ..._init function.
        constants: by type without its prefix ("strategy"), the constants by short name ("lpt_swap").
        full_names: by type, the constants by value as C calls them ("EPLB_STRATEGY_LPT_SWAP").
    """

    def __init__(self, text: str) -> None:
        self.abi = max(((int(major), int(minor)) for major, minor in _SINCE.findall(text)), default=(1, 0))
        bare = _COMMENT.sub("", text)
        self.declarations = _PREPROCESSOR.sub("", _CPLUSPLUS.sub("", bare))
        self.functions: list[str] = _FUNCTION.findall(self.declarations)
        self.structs: list[str] = _STRUCT.findall(self.declarations)
        self.constants: dict[str, dict[str, int]] = {}
        self.full_names: dict[str, dict[int, str]] = {}
        for name, body in _CONSTANTS.findall(self.declarations):
            kind = name.removeprefix("eplb_")
            values = {constant: int(value) for constant, value in _CONSTANT.findall(body)}
            # Ends at an underscore: EPLB_DEVICE_CPU and EPLB_DEVICE_CUDA share EPLB_DEVICE_C.
            prefix = os.path.commonprefix(list(values)).rpartition("_")[0] + "_"
            self.constants[kind] = {name.removeprefix(prefix).lower(): value for name, value in values.items()}
            self.full_names[kind] = {value: name for name, value in values.items()}
