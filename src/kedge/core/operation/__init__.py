"""Operations, that move many servers: pure, over the fleet as somebody else has seen it.

    decision = decide(seen)         # what to start, slow down and end next, or how it ended
    prediction = simulate(seen)     # the same decisions over a model of transfers, in virtual time
    levels = level(fleet, wanted)   # which moves an operation is made of that levels hosts

`seen` is what the first two look at, `decide` the rules, with `order` and `timing`, `forecast` how long copying memory
takes (`transfer` has what is assumed of it), `simulate` the loop, and `rebalance` what is level.
"""

from .decide import decide
from .forecast import Forecast, forecast, remedies
from .learn import Changed, Finished, learn
from .rebalance import Level, Levels, level
from .seen import Ahead, Decision, Move, Outlook, Running, Seen, Start, State, Tried, Tune
from .simulate import Leg, Prediction, simulate
from .transfer import COMMAND_S, TransferModel

__all__ = [
    "COMMAND_S",
    "Ahead",
    "Changed",
    "Decision",
    "Finished",
    "Forecast",
    "Leg",
    "Level",
    "Levels",
    "Move",
    "Outlook",
    "Prediction",
    "Running",
    "Seen",
    "Start",
    "State",
    "TransferModel",
    "Tried",
    "Tune",
    "decide",
    "forecast",
    "learn",
    "level",
    "remedies",
    "simulate",
]
