"""Names and comments of eplb.h, put into the words of another language."""

import os
import re
import textwrap
from dataclasses import dataclass

INITIALISMS = {"gpu", "cpu", "lpt"}
# Fields that only C sees.
HIDDEN = ("struct_size", "reserved")


def camel(name, initialisms=()):
    """num_gpus: NumGpus, or NumGPUs where gpu is an initialism."""
    out = ""
    for word in name.lower().split("_"):
        singular = word.removesuffix("s")
        is_initialism = singular in initialisms
        out += singular.upper() + word[len(singular) :] if is_initialism else word.capitalize()
    return out


def prefix_of(constants):
    """What all constants of a type begin with: EPLB_DEVICE_, not EPLB_DEVICE_C."""
    return os.path.commonprefix(constants).rpartition("_")[0] + "_"


def short_names(constants):
    """The names that users write: lpt_swap for EPLB_STRATEGY_LPT_SWAP."""
    prefix = prefix_of(constants)
    return [name.removeprefix(prefix).lower() for name in constants]


def default_of(header, type_name):
    """The constant that the comment of a field begins with: its default. None if there is none."""
    for struct, fields in header.structs.items():
        for field in fields:
            match = re.match(r"EPLB_\w+(?=[;.]|$)", header.docs.get(f"{struct}.{field.name}", ""))
            if field.type == type_name and match and match[0] in header.enums[type_name]:
                return match[0]
    return None


def sentence(text):
    """A comment at the end of a line as a sentence of its own."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".") if text else ""


def default_last(text):
    """The comment of a field to be filled, which begins with its default, with that at the end."""
    match = re.match(r"(\d+(?:\.\d+)?|[A-Z]\w+|\[\S+)(?:[;.] |$)", text)
    if match is None:
        return text
    rest = sentence(text[match.end() :])
    return f"{rest} Default {match[1]}.".strip()


def comment(text, mark, indent="", width=100):
    """Lines of a comment: mark is what each begins with."""
    start = indent + mark + " "
    space = width - len(indent.expandtabs(4)) - len(mark) - 1
    lines = textwrap.wrap(text, space, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{start}{line}\n" for line in lines)


@dataclass
class Words:
    """How a language writes what the header's comments mention."""

    header: object
    constants: dict  # name in C: name in the language
    field: callable  # name of a field
    function: callable  # name of a function without eplb_

    def _constant(self, name):
        """The header leaves out what is clear where it stands: EPLB_ or EPLB_MAP_."""
        for full in (name, f"EPLB_{name}", f"EPLB_MAP_{name}"):
            if full in self.constants:
                return self.constants[full]
        return name

    def put(self, text):
        """A comment of the header in this language's words."""
        text = re.sub(r"\b[A-Z][A-Z0-9]*_\w+", lambda match: self._constant(match[0]), text)
        functions = {function.name for function in self.header.functions}
        text = re.sub(
            r"\beplb_(\w+)",
            lambda match: self.function(match[1]) if match[0] in functions else match[0],
            text,
        )
        fields = {field.name for fields in self.header.structs.values() for field in fields}
        names = [name for name in sorted(fields) if "_" in name]
        return re.sub(rf"\b({'|'.join(names)})\b", lambda match: self.field(match[1]), text)
