"""Objects with one owner."""

from __future__ import annotations

from typing import NoReturn, SupportsIndex


class Uncopyable:
    """Owns memory of the library, which a copy would share and free a second time: refuses copy, deepcopy and pickle.

    Attributes:
        instead: what to do instead; ends the sentence of the error.
    """

    instead = "make another one"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        # copy, deepcopy and pickle all come through here.
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: {self.instead}")
