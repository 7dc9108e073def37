"""Names that reach the header stay for ever, so every word in them is committed in words.txt: a typo is seen in review.

python3 tests/contract/abi/test_words.py --write     after a change that was read twice
"""

import os
import re
import sys
import unittest

import header

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "words.txt")


def words_of(found):
    names = list(found.constants) + list(found.structs) + list(found.opaque) + list(found.typedefs)
    for fields in found.structs.values():
        names += [variable.name for variable in fields]
    for function in found.functions:
        names += [function.name] + [parameter.name for parameter in function.parameters]
    return sorted({word for name in names for word in re.findall(r"[a-z]+", name.lower())})


def committed():
    with open(LIST, encoding="ascii") as file:
        return file.read().split()


class Words(unittest.TestCase):
    def test_every_word_is_committed(self):
        new = set(words_of(header.read())) - set(committed())
        self.assertEqual(new, set(), "spelt right? then: python3 tests/contract/abi/test_words.py --write")

    def test_no_committed_word_is_unused(self):
        """A word that nobody uses would let a later typo pass."""
        self.assertEqual(set(committed()) - set(words_of(header.read())), set())


if __name__ == "__main__":
    if "--write" in sys.argv:
        with open(LIST, "w", encoding="ascii") as out:
            out.write("\n".join(words_of(header.read())) + "\n")
    else:
        unittest.main()
