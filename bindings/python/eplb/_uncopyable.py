"""Objects with one owner."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class Uncopyable:
    """Owns what a copy would share, such as memory of the library: refuses copy, deepcopy and pickle.

    Attributes:
        instead: what to do instead; ends the sentence of the error.
    """

    instead = "make another one"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        # copy, deepcopy and pickle all come through here.
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: {self.instead}")
