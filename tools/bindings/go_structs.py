"""The structs that users of bindings/go fill and read, and how they become those of C."""

import re
from dataclasses import dataclass, field

from go_source import ENUMS, TOP, declarations, struct_name, words_of
from wording import HIDDEN, INITIALISMS, camel, comment, default_last, sentence

# Fields of the same meaning have other names or types in Go.
RENAMED = {"bound_kind": "Bound", "microseconds": "Elapsed"}
# Of a struct that is filled: what a refusal calls the field.
ARGUMENTS = {"bound_kind": "bound"}
OTHER_WORDS = {
    "eplb_report.strategy": "what solved it; empty for a placement that was evaluated",
    "eplb_solve_options.allow_empty": (
        "may a replica be dropped and its slot become -1, which relieves a GPU without a move?"
    ),
    "eplb_solve_options.max_moves": "of a layer, see EPLB_MAP_MOVE_COUNT",
    "eplb_solve_options.max_moves_total": (
        "over all layers, which get their shares by what they gain: the one option by which a layer's answer depends "
        "on others"
    ),
    "eplb_solve_options.max_arrivals": "experts that a GPU receives in a layer; 0: any number",
    "eplb_solve_options.target": (
        "the imbalance at which a layer is good enough: it is reached with as few moves as possible. 0: 1.02, or "
        "NoTarget if max_moves, max_moves_total or move_price is given"
    ),
    "eplb_static_dispatch_options.num_ranks": (
        "source ranks, at most 4096; 0: num_gpus. Rank r is on GPU floor(r * num_gpus / num_ranks)"
    ),
}
# Where zero is a value of its own: the type, and what writes it over C's default, or refuses it.
CHECKED = {
    "max_moves": ("Limit", "setLimit"),
    "max_moves_total": ("Limit", "setLimit"),
    "target": ("float64", "setTarget"),
}
FLAGS = ("allow_empty",)
LAYERS = {"LayerImbalance": "[]float64", "LayerBound": "[]float64", "LayerDuplicates": "[]int64"}


@dataclass
class Struct:
    """A struct of the header that Go has too."""

    about: str = ""  # after the header's comment
    answers: bool = False  # C fills it
    more: dict = field(default_factory=dict)  # fields that C has elsewhere, by layer


STRUCTS = {
    "eplb_problem": Struct("NumSlots and NumGPUs must be set; other zero fields mean the library's defaults."),
    "eplb_solve_options": Struct("The zero value means the library's defaults."),
    "eplb_split_options": Struct("The zero value means the library's defaults."),
    "eplb_static_dispatch_options": Struct("The zero value means the library's defaults."),
    "eplb_report": Struct("A gap of 0.01 means: at most one percent above the optimum.", True, LAYERS),
}


def field_name(name):
    return RENAMED.get(name, camel(name, INITIALISMS))


def field_type(each):
    if each.name in FLAGS:
        return "bool"
    if each.name in CHECKED:
        return CHECKED[each.name][0]
    if each.type in ENUMS:
        return ENUMS[each.type].type
    if each.name == "microseconds":
        return "time.Duration"
    if each.name.endswith("_bytes"):
        return "int64"
    return {"double": "float64", "int32_t": "int", "int64_t": "int", "uint64_t": "uint64"}[each.type]


def layer_doc(header, words, name):
    """LayerBound is what EPLB_MAP_BOUND is."""
    doc = header.docs["EPLB_MAP_" + re.sub(r"(?<!^)([A-Z])", r"_\1", name.removeprefix("Layer")).upper()]
    return sentence(words.put(doc.partition(" ")[2]))


def definition(header, words, name, struct, fields):
    entries = []
    for each in fields:
        key = f"{name}.{each.name}"
        doc = words.put(OTHER_WORDS.get(key, header.docs.get(key, "")))
        doc = sentence(doc if struct.answers else default_last(doc))
        entries.append((doc, [field_name(each.name), field_type(each)]))
    for layer_field, go_type in struct.more.items():
        entries.append((layer_doc(header, words, layer_field), [layer_field, go_type]))
    go_name = camel(name.removeprefix("eplb_"))
    described = words.put(header.docs[name])
    about = f"{go_name} is {described[0].lower()}{described[1:]} {struct.about}".strip()
    return f"\n{comment(about, '//')}type {go_name} struct {{\n{declarations(entries)}}}\n"


def filling(name, fields):
    """The function that writes what is not zero into the struct of C, over its defaults."""
    go_name, out = camel(name.removeprefix("eplb_")), ""
    out += "\n// in writes to a struct of C; zero fields leave the default there.\n"
    out += f"func (from {go_name}) in(to *{struct_name(name)}) error {{\n"
    refusals = []
    for each in fields:
        target, source = f"&to.{camel(each.name)}", f"from.{field_name(each.name)}"
        if each.type in ENUMS:
            argument = ARGUMENTS.get(each.name, each.name)
            refusals.append(f'{ENUMS[each.type].names}.set({target}, "{argument}", string({source}))')
        elif each.name in FLAGS:
            out += f"\tsetFlag({target}, {source})\n"
        elif each.name in CHECKED:
            refusals.append(f'{CHECKED[each.name][1]}({target}, "{each.name}", {source})')
        else:
            out += f"\tsetUnlessZero({target}, {source})\n"
    if not refusals:
        return out + "\treturn nil\n}\n"
    lines = "".join(f"\t\t{refusal},\n" for refusal in refusals)
    return out + f"\treturn firstRefusal(\n{lines}\t)\n}}\n"


def reading(header, name, fields):
    go_name, rows = camel(name.removeprefix("eplb_")), []
    for each in fields:
        value, go_type = f"from.{camel(each.name)}", field_type(each)
        if each.type in ENUMS:
            of = "orNothing" if "-1" in header.docs[f"{name}.{each.name}"] else "of"
            value = f"{go_type}({ENUMS[each.type].names}.{of}({value}))"
        elif each.name == "microseconds":
            value = f"time.Duration({value} * float64(time.Microsecond))"
        elif go_type == "int":
            value = f"int({value})"
        rows.append((f"{field_name(each.name)}:", f"{value},"))
    width = max(len(name) for name, _ in rows)
    lines = "".join(f"\t\t{name.ljust(width)} {value}\n" for name, value in rows)
    out = "\n// inGo is what C has written.\n"
    return out + f"func (from *{struct_name(name)}) inGo() {go_name} {{\n\treturn {go_name}{{\n{lines}\t}}\n}}\n"


def files(header):
    words = words_of(header)
    out = TOP + '\nimport "time"\n'
    for name, struct in STRUCTS.items():
        fields = [each for each in header.structs[name] if each.name not in HIDDEN]
        out += definition(header, words, name, struct, fields)
        out += reading(header, name, fields) if struct.answers else filling(name, fields)
    return {"bindings/go/structs_generated.go": out}
