"""Tokens and functions of C, C++ and CUDA sources: enough of the grammar for sources that compile."""

import re
from dataclasses import dataclass

WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default delete
do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
requires return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
KEYWORDS = frozenset(WORDS.split())
# Words whose parentheses hold no parameters of a function.
NO_PARAMETERS = ("alignas", "decltype", "__attribute__", "__launch_bounds__", "noexcept", "explicit", "requires")

TOKEN = re.compile(
    r"""
    (?P<space>\s+|\\\n)
  | (?P<comment>//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/)
  | (?P<text>(?:u8|[uUL])?(?:R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)"|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+'))
  | (?P<number>\.?[0-9](?:[eEpP][+-]|'[0-9A-Za-z_]|[0-9A-Za-z_.])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign><<<|>>>|<=>|<<=|>>=|\.\.\.|->\*|::|->|\+\+|--|&&|\|\||[-+*/%&|^=!<>]=|<<|\.\*|\#\#|.)
    """,
    re.X | re.S,
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\/]|\\.|\\\n|//(?:[^\n\\]|\\\n)*|/\*.*?\*/|/)*", re.M | re.S)


@dataclass(frozen=True)
class Token:
    kind: str  # text, number, name, sign
    text: str
    line: int


@dataclass(frozen=True)
class Function:
    name: str
    line: int
    tokens: int  # from its declaration, template head aside, to its closing brace
    lines: int


def tokens_of(text):
    """Tokens without white space, comments and preprocessor directives. >> is two tokens, as in nested templates."""
    text = DIRECTIVE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    tokens, line = [], 1
    for found in TOKEN.finditer(text):
        if found.lastgroup not in ("space", "comment", "mark"):
            tokens.append(Token(found.lastgroup, found[0], line))
        line += found[0].count("\n")
    return tokens


def without_template_heads(head):
    """Drops every `template <...>`."""
    kept, at = [], 0
    while at < len(head):
        if head[at].text != "template" or at + 1 == len(head) or head[at + 1].text != "<":
            kept.append(head[at])
            at += 1
            continue
        depth, parentheses = 0, 0
        while at + 1 < len(head):
            at += 1
            text = head[at].text
            parentheses += (text == "(") - (text == ")")
            if parentheses == 0:
                depth += (text == "<") - (text == ">") - 3 * (text == ">>>")
            if depth <= 0:
                break
        at += 1
    return kept


def outside_parentheses(head):
    """The tokens outside parentheses, each pair of which stays as `(` and `)`; not those of attributes."""
    kept, depth = [], 0
    for at, token in enumerate(head):
        if token.text == "(":
            before = head[at - 1].text if at else ""
            if depth == 0 and before not in NO_PARAMETERS:
                kept.append(token)
            depth += 1
        elif token.text == ")":
            depth -= 1
        elif depth == 0:
            kept.append(token)
    return kept


def kind_of(head):
    """What a brace after these tokens opens: a scope, a function or something else; and a function's name."""
    outer = outside_parentheses(head)
    texts = [token.text for token in outer]
    first = texts.index("(") if "(" in texts else len(texts)
    for at, text in enumerate(texts[:first]):
        if text == "=" and (at == 0 or texts[at - 1] != "operator"):
            return "other", ""
    if "(" in texts and "concept" not in texts:
        if texts[first - 1 : first] == ["operator"] and texts[first + 1 : first + 2] == ["("]:
            return "function", "operator()"
        names = [token.text for token in outer[:first] if token.kind == "name"]
        if "operator" in names:
            return "function", "".join(texts[texts.index("operator") : first])
        return "function", names[-1] if names else ""
    if "namespace" in texts or texts[-2:-1] == ["extern"]:
        return "scope", ""
    if any(word in texts for word in ("class", "struct", "union")):
        return "scope", ""
    return "other", ""


def is_member_initialiser(head):
    """Does a brace after these tokens initialise a member, as in `A(int b) : b_{b} {}`?"""
    outer = outside_parentheses(head)
    texts = [token.text for token in outer]
    if "(" not in texts or ":" not in texts[texts.index("(") :]:
        return False
    return outer[-1].kind == "name" or outer[-1].text == ">"


def closing(tokens, at):
    """The index of the brace that closes the one at `at`."""
    depth = 0
    for index in range(at, len(tokens)):
        depth += (tokens[index].text == "{") - (tokens[index].text == "}")
        if depth == 0:
            return index
    return len(tokens) - 1


def functions_of(tokens):
    """The functions that have a body here. A lambda belongs to the function that it stands in."""
    functions, head, at, parentheses = [], [], 0, 0
    while at < len(tokens):
        token = tokens[at]
        parentheses += (token.text == "(") - (token.text == ")")
        ends = token.text in (";", "}") and parentheses == 0
        if ends or (token.text == ":" and head and head[-1].text in ("public", "private", "protected")):
            head = []
        elif token.text == "{":
            declared = without_template_heads(head)
            kind, name = kind_of(declared)
            if kind == "scope":
                head = []
            elif kind == "other" or parentheses or is_member_initialiser(declared):
                # What is initialised goes on: to a semicolon, a comma, or the body of a constructor.
                end = closing(tokens, at)
                head += tokens[at : end + 1] if kind == "function" else []
                at = end
            else:
                end = closing(tokens, at)
                start = declared[0]
                size = len(declared) + end + 1 - at
                functions.append(Function(name, start.line, size, tokens[end].line - start.line + 1))
                at, head = end, []
        else:
            head.append(token)
        at += 1
    return functions


def identifiers_of(tokens):
    return [token.text for token in tokens if token.kind == "name" and token.text not in KEYWORDS]
