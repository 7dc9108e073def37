"""Words to avoid in documents. The list is that of tools/build/style.py, which looks at sources, too."""

import sys

import pytest
from documents import ROOT, documents, prose

sys.path.insert(0, str(ROOT / "tools" / "build"))
import style  # noqa: E402


@pytest.mark.parametrize("document", documents())
def test_words_to_avoid(document):
    assert list(style.avoided_words(document, prose(document))) == []
