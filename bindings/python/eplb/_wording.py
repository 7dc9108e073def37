"""Sentences in the words of the caller: of Python, of a function that has other names, or of the command."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import get_type_hints

from ._errors import Error

# What C asks for by a call is an argument, or another call, in Python.
_CALLS = {
    "call eplb_upload_placement before eplb_solve": "give current",
    "call eplb_upload_placement first": "give current",
    "call eplb_upload_weights first": "give them, or call upload first",
    "upload another one with eplb_upload_cluster, or none": "give another one, or none",
    "upload others with eplb_upload_window_weights, or none": "give others, or none",
    "upload others with eplb_upload_prices, or none": "give others, or none",
    "eplb_context_reserve": "reserve",
    "eplb_upload_weights_device": "upload",
    "eplb_solve_device": "solve",
    "eplb_solve": "solve",
    "bound_kind": "bound",
}
_CALL = re.compile("|".join(rf"\b{re.escape(words)}\b" for words in _CALLS))
_CONSTANT = re.compile(r"\bEPLB_[A-Z0-9_]+\b")
# Names of arguments: where a sentence begins with one word and a verb, and words with underscores anywhere.
_ARGUMENT = re.compile(r"^[a-z]+(?= is )|\b[a-z]+(?:_[a-z]+)+\b")
# Options of the command are left out where Python says None.
_NONE = re.compile(r"must be None for [^,]+, (?:or )?")
# Sentences about files name both: "give header=True (--header)".
_BOTH = re.compile(r"\b\w+(?:=\w+)? \((--[^)]+)\)")
_SIZES = {
    "slots": "slots",
    "gpus": "GPUs",
    "nodes": "nodes",
    "groups": "groups",
    "ranks": "ranks",
    "threads": "threads",
}


def in_python(text: str, constants: Mapping[str, str]) -> str:
    """A sentence of the library as Python has names. constants: Python's names of C's, as in "EPLB_POLICY_SOFT"."""
    text = _CALL.sub(lambda words: _CALLS[words[0]], text)
    return _CONSTANT.sub(lambda name: repr(constants[name[0]]) if name[0] in constants else name[0], text)


@contextmanager
def published_names() -> Iterator[None]:
    """Errors speak of arguments as the published function names them."""
    try:
        yield
    except Error as error:
        text = re.sub(r"^weights\b|\bweights(?=\[)", "weight", error.text.replace("num_slots", "num_replicas"))
        raise type(error)(text, error.code, error.status) from None


def options_of(command: Callable[..., object]) -> set[str]:
    """The names of a command's options, as in "--max-moves"."""
    hints = get_type_hints(command, include_extras=True).values()
    about = [each for hint in hints for each in getattr(hint, "__metadata__", ())]
    # typer keeps the first name where other functions have a default.
    names = [name for each in about for name in (each.default, *(each.param_decls or ()))]
    return {name for name in names if isinstance(name, str) and name.startswith("--")}


def options_only(text: str) -> str:
    """A sentence about files, which names arguments and options, without the arguments."""
    return _BOTH.sub(r"\1", text)


def in_options(text: str, options: Collection[str]) -> str:
    """A sentence about arguments of Python as the command calls them; what is no option there is said in words."""

    def name(found: re.Match[str]) -> str:
        word = found[0]
        size = word.removeprefix("num_")
        option = f"--{size if size in _SIZES else word}".replace("_", "-")
        if option in options:
            return option
        return f"the number of {_SIZES.get(size, size)}" if word.startswith("num_") else word

    return _ARGUMENT.sub(name, _NONE.sub("must be ", text))
