"""Words to avoid in documents: each has a plainer replacement, or marks a sentence that should be rewritten."""

import re

import pytest
from documents import documents, line_of, prose

# The word to avoid: what to write instead.
AVOID = {
    "told": "reported, stated",
    "beside": "next to, besides, apart from",
    "so many": "the number",
    "anew": "again",
    "alike": "the same, equal",
    "is through": "has finished",
    "whoever": "a caller that, those who",
}
PATTERN = re.compile(r"\b(" + "|".join(word.replace(" ", r"\s+") for word in AVOID) + r")\b", re.I)


@pytest.mark.parametrize("document", documents())
def test_words_to_avoid(document):
    text = prose(document)
    found = []
    for match in PATTERN.finditer(text):
        word = re.sub(r"\s+", " ", match[0].lower())
        found.append(f"{document}:{line_of(text, match.start())}: '{word}': rather {AVOID[word]}")
    assert found == []
