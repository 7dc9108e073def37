"""What Go and Rust have of the header is what it gives, and a new constant needs no edit there."""

import os
import re
import sys
import tempfile
import unittest

import header
import test_layout

sys.path.insert(0, os.path.join(header.ROOT, "tools", "bindings"))
import generate  # noqa: E402

RENEW = "python3 tools/bindings/generate.py"


def with_line(text, after, line):
    """The header with one more line after a constant and its comment; the constant gets the comma that it may lack."""
    start = re.search(rf"^[^\n]*\b{after}\b[^\n]*?(/\*.*?\*/)?\n", text, re.M | re.S)
    last = re.sub(r"( = \d+),?", r"\1,", start[0], count=1)
    return text[: start.start()] + last + line + "\n" + text[start.end() :]


class Bindings(unittest.TestCase):
    def generated_from(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "eplb.h")
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            return generate.generated(path)

    def setUp(self):
        with open(header.PATH, encoding="ascii") as file:
            self.text = file.read()

    def test_committed_files_are_what_the_header_gives(self):
        self.assertEqual(generate.stale(), [], RENEW)

    def test_layout_is_the_compilers(self):
        """Rust refuses to compile structs that do not have this layout; Go's tests measure theirs."""
        measures = test_layout.measure(header.PATH)
        rust = generate.generated()["bindings/rust/eplb-sys/src/bindings.rs"]
        sizes = re.findall(r"size_of::<(\w+)>\(\) == (\d+)\)", rust)
        offsets = re.findall(r"offset_of!\((\w+), (\w+)\) == (\d+)\)", rust)
        self.assertEqual([name for name, _ in sizes], list(header.read().structs))
        for name, size in sizes:
            self.assertEqual(size, measures[f"struct {name}"], name)
        fields = {key.partition(":")[0]: value for key, value in measures.items() if key.startswith("field ")}
        self.assertEqual(len(offsets), len(fields))
        for name, field, offset in offsets:
            self.assertEqual(offset, fields[f"field {name}.{field}"].rpartition(" ")[2], field)

    def test_a_new_constant_reaches_both_languages(self):
        line = "  EPLB_STRATEGY_FEWEST_ROUNDS = 8 /* starts from what is there */"
        files = self.generated_from(with_line(self.text, "EPLB_STRATEGY_REBALANCE = 7", line))
        go, rust = (
            files["bindings/go/constants_generated.go"],
            files["bindings/rust/eplb/src/constants_generated.rs"],
        )
        self.assertIn('// Starts from what is there.\n\tStrategyFewestRounds Strategy = "fewest_rounds"\n', go)
        self.assertRegex(go, r'var strategyNames = names\{[^}]*"rebalance",\s*"fewest_rounds",?\s*\}')
        self.assertIn('FewestRounds = EPLB_STRATEGY_FEWEST_ROUNDS "fewest_rounds",', rust)
        raw = files["bindings/rust/eplb-sys/src/bindings.rs"]
        self.assertIn("pub const EPLB_STRATEGY_FEWEST_ROUNDS: eplb_strategy = 8;", raw)

    def test_a_new_map_is_of_the_type_that_its_comment_names(self):
        line = "  EPLB_MAP_HEAT = 28 /* float64 [L,S]: heat of each slot */"
        files = self.generated_from(with_line(self.text, "EPLB_MAP_DISPATCH_BOUND = 27", line))
        self.assertIn("\tMapHeat FloatMap = 28\n", files["bindings/go/constants_generated.go"])
        self.assertIn('"EPLB_MAP_HEAT":', files["bindings/go/layout_generated_test.go"])
        self.assertIn('Heat = EPLB_MAP_HEAT "heat",', files["bindings/rust/eplb/src/constants_generated.rs"])

    def test_a_new_field_and_a_new_function_reach_their_structs(self):
        text = self.text.replace(
            "\n} eplb_solve_options;",
            "\n  double round_price; /* 0.25; what a round must gain */\n} eplb_solve_options;",
        )
        text += "\neplb_status eplb_warm(eplb_context *context, const void *placement);\n"
        files = self.generated_from(text)
        layout, go = files["bindings/go/layout_generated.go"], files["bindings/go/structs_generated.go"]
        self.assertIn("\t// 0.25; what a round must gain.\n\tRoundPrice float64\n", layout)
        self.assertIn("\t// What a round must gain. Default 0.25.\n\tRoundPrice float64\n", go)
        self.assertIn("setUnlessZero(&to.RoundPrice, from.RoundPrice)\n", go)
        rust = files["bindings/rust/eplb/src/structs_generated.rs"]
        self.assertIn("pub const fn round_price(self, round_price: f64) -> Self {\n", rust)
        self.assertIn("round_price: self.round_price.unwrap_or(defaults.round_price),\n", rust)
        self.assertIn("Warm func(context cHandle, placement unsafe.Pointer) int32 `c:", layout)

    def test_a_comment_that_changes_makes_its_files_stale(self):
        committed = generate.generated()
        changed = self.generated_from(self.text.replace("/* an NVIDIA GPU */", "/* a GPU of NVIDIA's */"))
        stale = [path for path, text in committed.items() if changed[path] != text]
        rust = ["bindings/rust/eplb/src/constants_generated.rs", "bindings/rust/eplb-sys/src/bindings.rs"]
        self.assertEqual(stale, rust)


if __name__ == "__main__":
    unittest.main()
