"""Finds the classes of the package whose objects own what cannot be copied, in its source: new ones come along."""

import ast
from pathlib import Path

import eplb

# Calls that make such a thing: memory and contexts of the library, locks, threads, files.
MAKERS = {"new", "gc", "Lock", "RLock", "allocate_lock", "Event", "SimpleQueue", "Thread", "ThreadPoolExecutor", "open"}
# A class that defines one says what a copy is.
SAYS = {"__getstate__", "__reduce__", "__reduce_ex__", "__copy__"}


def owners():
    """Names of classes that keep such things, or objects of such classes, or are derived from one: all should refuse.

    Classes whose copies are made without them, as those of plans, are not among them, nor is what keeps such a class.
    """
    classes = all_classes()
    says = {cls.name for cls in classes if SAYS & {getattr(node, "name", None) for node in cls.body}}
    others = derived(classes, says - {"Uncopyable"})
    kept = {cls.name: attributes(cls) | base_names(cls) for cls in classes if cls.name not in others}
    found = {name for name, names in kept.items() if names & MAKERS}
    while more := {name for name, names in kept.items() if names & found} - found:
        found |= more
    return found


def refusing():
    """Names of classes that refuse."""
    return derived(all_classes(), {"Uncopyable"})


def derived(classes, names):
    """With those that are derived from them."""
    found = set(names)
    while more := {cls.name for cls in classes if base_names(cls) & found} - found:
        found |= more
    return found


def all_classes():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(Path(eplb.__file__).parent.rglob("*.py"))]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def base_names(cls):
    return set().union(*map(names_in, cls.bases))


def attributes(cls):
    """Names in annotations of what objects of a class keep or are made of, and of what is called for what they keep."""
    found = set()
    for node in cls.body:
        if isinstance(node, ast.AnnAssign):
            found |= names_in(node.annotation)
    for function in (node for node in cls.body if isinstance(node, ast.FunctionDef)):
        if function.name == "__init__":
            found = found.union(*(names_in(each.annotation) for each in function.args.args if each.annotation))
        for node in ast.walk(function):
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
                found |= of_assignment(node)
    return found


def of_assignment(node):
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    found = set()
    for target, value in (pair for each in targets for pair in taken_apart(each, node.value)):
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            found |= called_in(value)
            if isinstance(node, ast.AnnAssign):
                found |= names_in(node.annotation)
    return found


def taken_apart(target, value):
    """Of an assignment to several names, each with its value where that is written out."""
    if not isinstance(target, ast.Tuple):
        return [(target, value)]
    values = value.elts if isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts) else []
    return list(zip(target.elts, values or [value] * len(target.elts), strict=True))


def called_in(tree):
    return set().union(*(names_in(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)))


def names_in(tree):
    """Names that an expression or annotation has; annotations may be text."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return found
