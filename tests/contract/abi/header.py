"""Reads include/eplb.h: what it declares, without a compiler, so that every name can be held against the rules."""

import os
import re
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PATH = os.path.join(ROOT, "include", "eplb.h")


@dataclass
class Variable:
    """A parameter or a field: `const double *imbalance` has the type "const double *" and the name "imbalance"."""

    type: str
    name: str
    count: str = ""  # of an array field


@dataclass
class Function:
    name: str
    result: str
    parameters: list


@dataclass
class Header:
    text: str  # without comments
    includes: list = field(default_factory=list)
    macros: list = field(default_factory=list)
    conditions: list = field(default_factory=list)
    functions: list = field(default_factory=list)
    structs: dict = field(default_factory=dict)  # name: its fields
    opaque: list = field(default_factory=list)
    typedefs: dict = field(default_factory=dict)  # name: what it stands for
    constants: dict = field(default_factory=dict)  # name: the text of its value, or None
    rest: str = ""  # what no rule of this reader understood


def _variable(text):
    match = re.fullmatch(r"\s*(.*?[\s*])(\w+)\s*(?:\[(\w+)\])?\s*", text, re.S)
    if match is None:
        raise ValueError(f"not a declaration: {text!r}")
    return Variable(" ".join(match.group(1).split()), match.group(2), match.group(3) or "")


def _take(pattern, text, use):
    """Hands every match to `use` and takes it out of the text."""
    for match in re.finditer(pattern, text, re.S | re.M):
        use(match)
    return re.sub(pattern, " ", text, flags=re.S | re.M)


def _constants(header, match):
    for entry in match.group(1).split(","):
        name, _, value = entry.partition("=")
        if name.strip():
            header.constants[name.strip()] = value.strip() or None


def _function(header, match):
    inside = match.group(3).strip()
    parameters = [] if inside == "void" else [_variable(p) for p in inside.split(",")]
    header.functions.append(Function(match.group(2), " ".join(match.group(1).split()), parameters))


def read(path=PATH):
    with open(path, encoding="ascii") as file:
        text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
    header = Header(text)
    text = _take(r"^#\s*include\s*[<\"](.*?)[>\"]", text, lambda m: header.includes.append(m[1]))
    text = _take(r"^#\s*define\s+(\w+).*?$", text, lambda m: header.macros.append(m[1]))
    text = _take(r"^#\s*if(?:n?def)?\s+(.*?)$", text, lambda m: header.conditions.append(m[1].strip()))
    text = _take(r"^#\s*endif.*?$", text, lambda m: None)
    text = _take(r"extern \"C\" \{", text, lambda m: None)
    text = _take(
        r"typedef struct (\w+) \{(.*?)\} (\w+);",
        text,
        lambda m: header.structs.__setitem__(m[3], [_variable(f) for f in m[2].split(";") if f.strip()]),
    )
    text = _take(r"typedef struct (\w+) \1;", text, lambda m: header.opaque.append(m[1]))
    text = _take(r"typedef (\w+) (\w+);", text, lambda m: header.typedefs.__setitem__(m[2], m[1]))
    text = _take(r"enum \{(.*?)\};", text, lambda m: _constants(header, m))
    text = _take(r"^([\w ]+?[\s*]+)(\w+)\(([^()]*)\);", text, lambda m: _function(header, m))
    header.rest = text.replace("}", "", 1).strip()  # the brace that ends extern "C"
    return header
