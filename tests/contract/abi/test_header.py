"""The rules of the header: what Go, Rust, cffi and a C99 compiler can all read, and what a reader can rely on."""

import re
import unittest

import header

SCALARS = {"int32_t", "int64_t", "uint64_t", "double"}
CONTEXT_FREE_RESULTS = {
    "eplb_abi_version": "int32_t",
    "eplb_version_string": "const char *",
    "eplb_status_name": "const char *",
}
# What is done with a context and cannot fail.
CANNOT_FAIL = {"eplb_context_destroy", "eplb_context_interrupt"}


class HeaderRules(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.header = header.read()

    def is_scalar(self, type_name):
        return self.header.typedefs.get(type_name, type_name) in SCALARS

    def test_everything_was_understood(self):
        """What this reader does not understand, others may not either: an inline function, a bit field, a callback."""
        self.assertEqual(self.header.rest, "")
        self.assertGreater(len(self.header.functions), 20)
        self.assertGreater(len(self.header.structs), 5)

    def test_includes(self):
        self.assertEqual(sorted(self.header.includes), ["stddef.h", "stdint.h"])

    def test_no_macros_no_features(self):
        self.assertEqual(self.header.macros, ["EPLB_H"])
        self.assertEqual(set(self.header.conditions), {"EPLB_H", "__cplusplus"})

    def test_constants_have_explicit_values(self):
        without = [
            name for name, value in self.header.constants.items() if value is None or not re.fullmatch(r"\d+", value)
        ]
        self.assertEqual(without, [])

    def test_constants_are_named_after_their_type(self):
        odd = [name for name in self.header.constants if not re.fullmatch(r"EPLB_[A-Z0-9]+(_[A-Z0-9]+)*", name)]
        self.assertEqual(odd, [])

    def test_enums_are_int32(self):
        self.assertEqual(set(self.header.typedefs.values()), {"int32_t"})

    def test_structs_hold_scalars_and_begin_with_their_size(self):
        for name, fields in self.header.structs.items():
            with self.subTest(struct=name):
                if name == "eplb_error":  # frozen, so it needs no size
                    self.assertEqual(
                        [(f.type, f.name, f.count) for f in fields], [("int32_t", "code", ""), ("char", "text", "252")]
                    )
                    continue
                self.assertEqual((fields[0].type, fields[0].name), ("int64_t", "struct_size"))
                self.assertEqual([f.name for f in fields if not self.is_scalar(f.type) or f.count], [])

    def test_every_struct_with_a_size_has_an_init(self):
        functions = {function.name: function for function in self.header.functions}
        for name in self.header.structs:
            if name == "eplb_error":
                continue
            with self.subTest(struct=name):
                init = functions.get(f"{name}_init")
                self.assertIsNotNone(init)
                types = [parameter.type for parameter in init.parameters]
                self.assertEqual(types, [f"{name} *", "int64_t", "eplb_error *"])

    def test_functions_take_at_most_twelve_arguments(self):
        long = [function.name for function in self.header.functions if len(function.parameters) > 12]
        self.assertEqual(long, [])

    def test_fallible_functions_end_in_err(self):
        for function in self.header.functions:
            with self.subTest(function=function.name):
                if function.name in CONTEXT_FREE_RESULTS:
                    self.assertEqual(function.result, CONTEXT_FREE_RESULTS[function.name])
                elif function.name in CANNOT_FAIL:
                    self.assertEqual(function.result, "void")
                else:
                    self.assertEqual(function.result, "eplb_status")
                    self.assertEqual(
                        (function.parameters[-1].type, function.parameters[-1].name), ("eplb_error *", "err")
                    )

    def test_parameters_are_integers_and_pointers(self):
        """No struct by value, callback, double or bool: purego and cffi pass nothing else the same way everywhere."""
        for function in self.header.functions:
            for parameter in function.parameters:
                with self.subTest(function=function.name, parameter=parameter.name):
                    pointer = parameter.type.endswith("*")
                    base = parameter.type.replace("const", "").replace("*", "").strip()
                    integer = self.header.typedefs.get(base, base) in SCALARS - {"double"}
                    self.assertTrue(pointer or integer, parameter.type)
                    known = (
                        SCALARS
                        | {"void", "char"}
                        | set(self.header.structs)
                        | set(self.header.opaque)
                        | set(self.header.typedefs)
                    )
                    self.assertIn(base, known)

    def test_arrays_are_followed_by_their_length(self):
        for function in self.header.functions:
            names = [parameter.name for parameter in function.parameters]
            for i, parameter in enumerate(function.parameters):
                base = parameter.type.replace("const", "").strip()
                if base not in ("void *", "char *", "int64_t *", "double *") or parameter.name == "stream":
                    continue
                with self.subTest(function=function.name, parameter=parameter.name):
                    # Arrays by GPU have num_gpus elements, which a cluster is about; those by window num_windows.
                    after = [
                        name for name in names[i + 1 :] if re.fullmatch(r"(\w+_)?length|num_gpus|num_windows", name)
                    ]
                    self.assertTrue(after, "no length follows")

    def test_device_forms_take_the_arguments_of_the_host_form_and_a_stream(self):
        functions = {function.name: function for function in self.header.functions}
        forms = [name for name in functions if name.endswith("_device")]
        self.assertEqual(len(forms), 6)
        for name in forms:
            host, device = functions[name.removesuffix("_device")].parameters, functions[name].parameters
            with self.subTest(function=name):
                self.assertEqual([*host[:-1], header.Variable("void *", "stream"), host[-1]], device)

    def test_names_begin_with_the_library(self):
        names = [f.name for f in self.header.functions] + list(self.header.structs) + list(self.header.typedefs)
        self.assertEqual([n for n in names if not re.fullmatch(r"eplb(_[a-z0-9]+)+", n) or n.endswith("_t")], [])


if __name__ == "__main__":
    unittest.main()
