#!/usr/bin/env python3
"""Checks the rules of style that no formatter knows, with the standard library alone.

style.py              prints a line `path:line: what` for each violation; the exit status is 1 if there is one
style.py --report     prints a table of lib instead: lengths of functions and the share of one-letter names
    --root FOLDER     of another checkout, for comparison
"""

import argparse
import bisect
import os
import re
import sys

from cxx import functions_of, identifiers_of, tokens_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MOST_TOKENS, MOST_LINES, MOST_COLUMNS = 250, 50, 100  # of a function, of a function, of a line
MOST_ONE_LETTER = 10.0  # percent of all identifiers in lib
CXX_ENDINGS = (".c", ".h", ".cpp", ".cu", ".cuh", ".h.in")
TEXT_ENDINGS = (*CXX_ENDINGS, ".py", ".pyi", ".rs", ".go", ".md", ".toml", ".txt", ".cmake", ".in")
NOT_OURS = {"build", "target", "dist", ".venv", ".git", "__pycache__", "_native", "node_modules", "vendor"}

AVOIDED = ("told", "beside", "so many", "anew", "alike", "is through", "whoever")
WORDS_IN = ("lib", "include", "bindings", "bench", "docs", "tools", "README.md", "dev")
# They quote the words above.
QUOTE_THEM = ("tools/build/style.py", "docs/contributing.md")
# A phrase may go on in the next line, after the marks of a comment.
GAP = r"(?:[ \t]+|[ \t]*\n[ \t]*(?://[/!]?|\#|\*)?[ \t]*)"
AVOIDED_PATTERN = re.compile(
    r"(?<![A-Za-z])(?:" + "|".join(words.replace(" ", GAP) for words in AVOIDED) + r")(?![A-Za-z])", re.I
)


def files(root, folder, endings):
    """Paths of a folder, or the file itself, relative to the root."""
    if os.path.isfile(os.path.join(root, folder)):
        yield folder
    for path, folders, names in os.walk(os.path.join(root, folder)):
        folders[:] = sorted(name for name in folders if name not in NOT_OURS)
        for name in sorted(names):
            if name.endswith(endings) or name == "CMakeLists.txt":
                yield os.path.relpath(os.path.join(path, name), root).replace(os.sep, "/")


def cxx_files(root, *folders):
    return [path for folder in folders for path in files(root, folder, CXX_ENDINGS) if path.endswith(CXX_ENDINGS)]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


# ------------------------------------------------------------------------------------------------------------- checks


def long_functions(path, text):
    for function in functions_of(tokens_of(text)):
        if function.tokens > MOST_TOKENS:
            yield f"{path}:{function.line}: {function.name} has {function.tokens} tokens, at most {MOST_TOKENS}"
        if function.lines > MOST_LINES:
            yield f"{path}:{function.line}: {function.name} has {function.lines} lines, at most {MOST_LINES}"


def long_lines(path, text):
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MOST_COLUMNS:
            yield f"{path}:{number}: {len(line)} columns, at most {MOST_COLUMNS}"


def avoided_words(path, text):
    starts = [0, *(at.end() for at in re.finditer("\n", text))]
    for found in AVOIDED_PATTERN.finditer(text):
        words = re.sub(r"[^A-Za-z]+", " ", found[0]).lower()
        yield f'{path}:{bisect.bisect_right(starts, found.start())}: avoid "{words}"'


def one_letter_names(names_of_rooms):
    """Over the limit in total, each room above it is named."""
    counts = {room: (sum(len(name) == 1 for name in names), len(names)) for room, names in names_of_rooms.items()}
    if share(counts.values()) <= MOST_ONE_LETTER:
        return
    total = f"{share(counts.values()):.1f} % in total, at most {MOST_ONE_LETTER:g} %"
    for room, count in counts.items():
        if share([count]) > MOST_ONE_LETTER:
            yield f"{room}:1: {share([count]):.1f} % of the identifiers have one letter; {total}"


def share(counts):
    """Percent, of pairs (one-letter names, all names)."""
    short, names = map(sum, zip(*counts, strict=True)) if counts else (0, 0)
    return 100 * short / names if names else 0.0


def room_of(path):
    return "/".join(path.split("/")[:2])


def violations(root):
    names = {}
    for path in cxx_files(root, "lib"):
        text = read(root, path)
        names.setdefault(room_of(path), []).extend(identifiers_of(tokens_of(text)))
        yield from long_functions(path, text)
    for path in cxx_files(root, "lib", "include"):
        yield from long_lines(path, read(root, path))
    yield from one_letter_names(names)
    for folder in WORDS_IN:
        for path in files(root, folder, TEXT_ENDINGS):
            if path not in QUOTE_THEM:
                yield from avoided_words(path, read(root, path))


# ------------------------------------------------------------------------------------------------------------- report


def quantile(values, part):
    return sorted(values)[int(part * (len(values) - 1) + 0.5)] if values else 0


def report(root):
    """A row for each room of lib, and one for all."""
    functions, counts, lines = {}, {}, {}
    for path in cxx_files(root, "lib"):
        text = read(root, path)
        tokens = tokens_of(text)
        names = identifiers_of(tokens)
        for room in (room_of(path), "lib"):
            functions.setdefault(room, []).extend(functions_of(tokens))
            counts.setdefault(room, []).append((sum(len(name) == 1 for name in names), len(names)))
            lines.setdefault(room, []).extend(len(line) for line in text.splitlines())
    rows = ["| | lines | functions | tokens, median / p90 / max | lines, p90 / max | one-letter names | columns, max |"]
    rows.append("|---" * 7 + "|")
    for room in sorted(functions, key=lambda room: (room == "lib", room)):
        tokens = [function.tokens for function in functions[room]]
        heights = [function.lines for function in functions[room]]
        rows.append(
            f"| {room} | {len(lines[room])} | {len(tokens)}"
            f" | {quantile(tokens, 0.5)} / {quantile(tokens, 0.9)} / {max(tokens, default=0)}"
            f" | {quantile(heights, 0.9)} / {max(heights, default=0)}"
            f" | {share(counts[room]):.1f} % | {max(lines[room], default=0)} |"
        )
    return "\n".join(rows)


def main():
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout, usage=argparse.SUPPRESS)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--root", default=ROOT, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.report:
        print(report(arguments.root))
        return 0
    found = list(violations(arguments.root))
    print("\n".join([*found, f"{len(found)} violations of style"] if found else ["style: nothing to mend"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
