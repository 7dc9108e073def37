"""Reads include/eplb.h: what it declares and what its comments say, without a compiler.

Tests hold every name against the rules; tools/bindings writes constants and structs of Go and Rust
from it.
"""

import os
import re
from dataclasses import dataclass, field

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PATH = os.path.join(ROOT, "include", "eplb.h")


@dataclass
class Variable:
    """A parameter or a field: `const double *imbalance` is a "const double *" named "imbalance"."""

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
    enums: dict = field(default_factory=dict)  # typedef: the names of its constants
    docs: dict = field(default_factory=dict)  # name of a constant, type or function, or "struct.field": its comment
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
    names = []
    for entry in match.group(2).split(","):
        name, _, value = entry.partition("=")
        if name.strip():
            names.append(name.strip())
            header.constants[name.strip()] = value.strip() or None
    if match.group(1):
        header.enums[match.group(1)] = names
        header.typedefs[match.group(1)] = "int32_t"


def _function(header, match):
    inside = match.group(3).strip()
    parameters = [] if inside == "void" else [_variable(p) for p in inside.split(",")]
    header.functions.append(Function(match.group(2), " ".join(match.group(1).split()), parameters))


def _docs(text):
    """Comments by what they describe: what is right below them, or before them on their line."""
    comment = r"/\*((?:(?!\*/).)*)\*/"
    docs = {}
    for match in re.finditer(comment + r"\ntypedef (?:struct )?(?:int32_t )?(\w+)", text, re.S):
        docs[match[2]] = match[1]
    for match in re.finditer(comment + r"\n(?!typedef)[\w ]+?[ *](\w+)\(", text, re.S):
        docs[match[2]] = match[1]
    for match in re.finditer(r"\b(EPLB_\w+) = \d+,? *" + comment, text, re.S):
        docs[match[1]] = match[2]
    for struct in re.finditer(r"typedef struct (\w+) \{(.*?)\n\} ", text, re.S):
        for match in re.finditer(r"(\w+)(?:\[\w+\])?; *" + comment, struct[2], re.S):
            docs[f"{struct[1]}.{match[1]}"] = match[2]
    lines = {name: [line.strip().removeprefix("*") for line in text.split("\n")] for name, text in docs.items()}
    return {name: " ".join(" ".join(rows).split()) for name, rows in lines.items()}


def read(path=PATH):
    with open(path, encoding="ascii") as file:
        whole = file.read()
    text = re.sub(r"/\*.*?\*/", " ", whole, flags=re.S)
    header = Header(text, docs=_docs(whole))
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
    text = _take(r"(?:typedef int32_t (\w+);\s*)?enum \{(.*?)\};", text, lambda m: _constants(header, m))
    text = _take(r"typedef (\w+) (\w+);", text, lambda m: header.typedefs.__setitem__(m[2], m[1]))
    text = _take(r"^([\w ]+?[\s*]+)(\w+)\(([^()]*)\);", text, lambda m: _function(header, m))
    header.rest = text.replace("}", "", 1).strip()  # the brace that ends extern "C"
    return header
