"""tools/build/style.py finds what it should, and nothing else, in samples whose counts were made by hand."""

import os
import sys
import tempfile
import unittest

from header import ROOT

sys.path.insert(0, os.path.join(ROOT, "tools", "build"))
import style  # noqa: E402
from cxx import functions_of, identifiers_of, tokens_of  # noqa: E402


def found(text):
    return [(f.name, f.line, f.tokens, f.lines) for f in functions_of(tokens_of(text))]


class Tokens(unittest.TestCase):
    def texts(self, text):
        return [token.text for token in tokens_of(text)]

    def test_comments_texts_and_numbers(self):
        self.assertEqual(self.texts("a // b\n/* c\n */ d"), ["a", "d"])
        texts = [r'"a \" // b"', 'u8"c"', 'R"x(d)" e)x"', r"L'\''"]
        self.assertEqual(self.texts(" ".join(texts)), texts)
        self.assertEqual(self.texts("0x1p-3 1'000 .5e+7f a.b"), ["0x1p-3", "1'000", ".5e+7f", "a", ".", "b"])

    def test_signs(self):
        self.assertEqual(
            self.texts("a<<=b->c...d<=>e::f"), ["a", "<<=", "b", "->", "c", "...", "d", "<=>", "e", "::", "f"]
        )
        self.assertEqual(self.texts("View<View<int>>"), ["View", "<", "View", "<", "int", ">", ">"])

    def test_directives_are_no_tokens_and_lines_go_on(self):
        tokens = tokens_of("#define A(x) \\\n  { x }\n#include <a>  // b\nint c;\n")
        self.assertEqual([(token.text, token.line) for token in tokens], [("int", 4), ("c", 4), (";", 4)])

    def test_identifiers_are_no_keywords(self):
        self.assertEqual(identifiers_of(tokens_of("const int a = b.size(); return a;")), ["a", "b", "size", "a"])


class Functions(unittest.TestCase):
    def test_plain(self):
        # int f ( int a ) { return a ; }
        self.assertEqual(found("\nint f(int a) {\n  return a;\n}\n"), [("f", 2, 11, 3)])

    def test_declarations_and_variables_are_none(self):
        self.assertEqual(found("int f(int);\nint a{3}, b = {4};\nconstexpr int c[] = {f(1), f(2)};\nA d(3);"), [])

    def test_scopes(self):
        text = """
        extern "C" {
        namespace a::b {
        namespace {
        struct alignas(16) A final : B<int> {
          enum class C : int { kOne, kTwo };
         private:
          void f() const noexcept override {}
          int g_{1};
        };
        }}}
        """
        self.assertEqual(found(text), [("f", 8, 9, 1)])

    def test_template_heads_and_macros_before_a_name(self):
        # EPLB_FN void f ( Team & team ) { } : the head of the template does not count
        text = "template <class Team, int N = (1 > 0), class = View<View<int>>>\nEPLB_FN void f(Team& team) {}"
        self.assertEqual(found(text), [("f", 2, 10, 1)])
        self.assertEqual([name for name, *_ in found("EPLB_STAGE_BEGIN\nstruct A { int f() { return 1; } };")], ["f"])

    def test_constructors(self):
        # A ( int b ) : b_ { b } , c_ ( b ) { }
        self.assertEqual(found("struct A { A(int b) : b_{b}, c_(b) {} };"), [("A", 1, 17, 1)])
        self.assertEqual([name for name, *_ in found("A::A() : B<int>{1} { f(); }\nA::~A() {}")], ["A", "A"])

    def test_operators(self):
        text = (
            "bool operator==(A a, A b) { return true; } int operator()(int a) const { return a; } A& operator=(A a) {}"
        )
        self.assertEqual([name for name, *_ in found(text)], ["operator==", "operator()", "operator="])

    def test_lambdas_and_local_types_belong_to_their_function(self):
        text = """void f(int a = 3) {
          struct L { int g() { return 1; } };
          each([&](int i) { x[i] = 0; });
        }
        int g() { return 2; }"""
        self.assertEqual([(name, lines) for name, _, _, lines in found(text)], [("f", 4), ("g", 1)])

    def test_kernels(self):
        text = "template <class T>\n__global__ void __launch_bounds__(32, T::kBlocks) run(T task) { task(); }"
        self.assertEqual([name for name, *_ in found(text)], ["run"])

    def test_concepts_and_tables_are_none(self):
        self.assertEqual(found("template <class T> concept Team = requires(T t) { t.f(); };"), [])
        self.assertEqual(found("static const Rule kRules[] = {{[](int a) { return a; }}};"), [])

    def test_every_function_of_a_real_file(self):
        """All of lib is read to its end: a brace that is misread would swallow what follows."""
        for path in style.cxx_files(ROOT, "lib"):
            tokens = tokens_of(style.read(ROOT, path))
            with self.subTest(path):
                self.assertEqual(sum(token.text == "{" for token in tokens), sum(token.text == "}" for token in tokens))
                self.assertEqual([f for f in functions_of(tokens) if not f.name], [])


class Checks(unittest.TestCase):
    def test_long_functions(self):
        long = "void f() {\n" + "  a;\n" * 123 + "}"  # 6 + 2 * 123 tokens, 125 lines
        self.assertEqual(
            list(style.long_functions("a.h", long)),
            ["a.h:1: f has 252 tokens, at most 250", "a.h:1: f has 125 lines, at most 50"],
        )
        self.assertEqual(list(style.long_functions("a.h", "void f() {" + "a;" * 122 + "}")), [])

    def test_long_lines(self):
        self.assertEqual(
            list(style.long_lines("a.h", "a" * 100 + "\n" + "b" * 101)), ["a.h:2: 101 columns, at most 100"]
        )

    def test_avoided_words(self):
        text = "Told once.\n// so\n// many and is\n//   through\nbesides, retold, scold\na_told_b"
        self.assertEqual(
            list(style.avoided_words("a.h", text)),
            ['a.h:1: avoid "told"', 'a.h:2: avoid "so many"', 'a.h:3: avoid "is through"', 'a.h:6: avoid "told"'],
        )

    def test_one_letter_names(self):
        few, many = ["a"] + ["word"] * 9, ["b"] * 3 + ["word"] * 7
        self.assertEqual(list(style.one_letter_names({"lib/api": few})), [])
        self.assertEqual(
            list(style.one_letter_names({"lib/api": few, "lib/core": many})),
            ["lib/core:1: 30.0 % of the identifiers have one letter; 20.0 % in total, at most 10 %"],
        )

    def test_a_tree(self):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {
                "lib/core/a.cpp": "int value() { return 1; }\n" + "// " + "x" * 98 + "\n",
                "lib/core/build/b.cpp": "// told",
                "README.md": "Sizes are alike.",
                "tests/a.cpp": "// whoever",
            }.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            self.assertEqual(
                list(style.violations(root)),
                ["lib/core/a.cpp:2: 101 columns, at most 100", 'README.md:1: avoid "alike"'],
            )
            self.assertIn("| lib/core | 2 | 1 | 9 / 9 / 9 | 1 / 1 | 0.0 % | 101 |", style.report(root))


class Repository(unittest.TestCase):
    def test_nothing_is_to_be_mended(self):
        self.assertEqual(list(style.violations(ROOT)), [])


if __name__ == "__main__":
    unittest.main()
