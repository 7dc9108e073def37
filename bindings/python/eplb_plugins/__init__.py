"""What vLLM and SGLang call where this package is installed.

Unless EPLB_ENGINE is set, nothing is changed and nothing is loaded: neither eplb nor its library is imported.
"""

from __future__ import annotations

import os


def vllm() -> None:
    """The entry point in vllm.general_plugins: eplb.engines.vllm.register, if EPLB_ENGINE is set."""
    if os.environ.get("EPLB_ENGINE"):
        from eplb.engines.vllm import register

        register()


def sglang() -> None:
    """The entry point in sglang.srt.plugins: eplb.engines.sglang.register, if EPLB_ENGINE is set."""
    if os.environ.get("EPLB_ENGINE"):
        from eplb.engines.sglang import register

        register()
