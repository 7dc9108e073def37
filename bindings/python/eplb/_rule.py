"""Rules by which an engine changes its placement: when it looks, at which windows, and what a change may cost."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from ._library import (
    FROM_NOTHING,
    OBJECTIVES,
    STRATEGIES,
    integer,
    invalid_argument,
    positive,
    value_of,
)
from ._move_limits import MOST_IMBALANCE, move_limits
from ._option_words import OptionWords, check_search, words_of
from ._tables import MOST_WINDOWS

_SEARCH = ("policy", "off_home_target", "effort", "seed", "max_replicas")
_LOOK = ("every", "memory", "objective")
_COUNTS = ("max_moves", "max_moves_total", "max_arrivals")
# The options that each rule has.
KNOWN: dict[str, tuple[str, ...]] = {
    "never": (),
    "fresh": (*_LOOK, "strategy", *_SEARCH),
    "rebalance": (*_LOOK, *_COUNTS, "target", "move_price", *_SEARCH),
    "pays": (*_LOOK, "move_ms", "layer_ms", "horizon", *_COUNTS, *_SEARCH),
}


@dataclass(frozen=True)
class Rule:
    """A rule by which an engine changes its placement. As text, it is a name and its options: "rebalance,max_moves=8".

    - "never" keeps the placement.
    - "fresh" places all experts again, whatever has to move, as planners do that do not know where experts are.
    - "rebalance" changes the placement within limits, as Context.rebalance does.
    - "pays" changes those layers in which that saves more time than its moves cost. A move costs move_ms; a layer takes
      layer_ms in a window when it is balanced, and its imbalance times as much when it is not. So moves have to gain,
      in imbalance times the windows of the horizon, more than move_ms / layer_ms each. Layers that do not pay keep
      every slot. Imbalance is all it looks at: under the policy soft, load that comes home is not a gain.

    Attributes:
        name: one of the above.
        every: windows between two looks.
        memory: the windows that are looked at, the last ones, 1 to 64.
        objective: "windows" balances each of them, "sum" their sum.
        strategy: of "fresh": one of eplb.strategies() but "rebalance", such as "greedy", the published program; all but
            "best" need the objective "sum".
        move_ms: of "pays": the milliseconds for which moving one expert's weights of one layer stalls serving.
        layer_ms: of "pays": the milliseconds that the experts of one layer take in one window, if perfectly balanced:
            those of a step times the steps of a window.
        horizon: of "pays": the windows in which a change must pay for itself. None is a quarter of those remembered:
            the next windows are never quite like the last, so predictions are optimistic.
        max_moves, max_moves_total, max_arrivals, target, move_price: as for Context.rebalance.
        policy, off_home_target, effort, seed, max_replicas: as for Context.solve.

    Raises:
        InvalidArgument: a value that is not allowed, or of another rule.
    """

    name: str
    every: int = 1
    memory: int = 16
    objective: str = "windows"
    strategy: str = "best"
    move_ms: float | None = None
    layer_ms: float | None = None
    horizon: float | None = None
    max_moves: int | None = None
    max_moves_total: int | None = None
    max_arrivals: int | None = None
    target: float | None = None
    move_price: float = 0.0
    policy: str = "auto"
    off_home_target: float = 1.01
    effort: str = "normal"
    seed: int = 0
    max_replicas: int | None = None

    def __post_init__(self) -> None:
        if self.name not in KNOWN:
            raise invalid_argument(f"name is {self.name!r}, must be one of {', '.join(KNOWN)}")
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if field.name not in KNOWN[self.name] and value != field.default:
                raise invalid_argument(f"{field.name} is {value!r}, but the rule {self.name} has no such option")
        integer("every", self.every, 1)
        integer("memory", self.memory, 1, MOST_WINDOWS)
        value_of({name: OBJECTIVES[name] for name in ("sum", "windows")}, "objective", self.objective)
        value_of({name: STRATEGIES[name] for name in FROM_NOTHING}, "strategy", self.strategy)
        if self.strategy != "best" and self.objective != "sum":
            raise invalid_argument(f"strategy is {self.strategy!r}, which knows sums only: give objective=sum")
        for name in ("move_ms", "layer_ms", "horizon"):
            positive(name, getattr(self, name))
        check_search(self)
        move_limits(*(getattr(self, name) for name in (*_COUNTS, "target", "move_price")))

    def __str__(self) -> str:
        """As parse reads it, without what is the default."""
        return words_of(self)

    @staticmethod
    def parse(text: str) -> Rule:
        """A rule from text, such as "pays,move_ms=1,layer_ms=50,memory=8".

        Raises:
            InvalidArgument: one sentence that names the text, the word and what is allowed.
        """
        words = OptionWords("rule", text, "rule", KNOWN)
        name, values = words.read()
        try:
            return Rule(name, **values)
        except ValueError as error:
            raise words.refused(str(error)) from None

    def with_prices(self, move_ms: float | None, layer_ms: float | None) -> Rule:
        """The rule with these prices, where it is "pays" and lacks them."""
        if self.name != "pays":
            return self
        own_move, own_layer = self.move_ms, self.layer_ms
        return dataclasses.replace(
            self,
            move_ms=move_ms if own_move is None else own_move,
            layer_ms=layer_ms if own_layer is None else own_layer,
        )

    @property
    def price(self) -> float:
        """What a move costs, in imbalance times windows. Raises InvalidArgument where "pays" lacks its prices."""
        if self.move_ms is None or self.layer_ms is None:
            missing = "move_ms" if self.move_ms is None else "layer_ms"
            raise invalid_argument(f"rule is {str(self)!r}: {missing} is missing, give it in milliseconds")
        return self.move_ms / self.layer_ms

    def horizon_of(self, windows: int) -> float:
        """The windows in which a change must pay for itself, if that many are remembered."""
        return windows / 4 if self.horizon is None else self.horizon

    def solve_options(self) -> dict[str, Any]:
        """For Context.solve, but for the policy and its target."""
        return self._options("strategy", "objective", *_SEARCH[2:])

    def rebalance_options(self, windows: int) -> dict[str, Any]:
        """The same for Context.rebalance, with the number of windows that it gets."""
        options = self._options("objective", *_SEARCH[2:], *_COUNTS, "target", "move_price")
        if self.name == "pays":
            options["move_price"] = min(self.price / self.horizon_of(windows), MOST_IMBALANCE)
        return options

    def _options(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}
