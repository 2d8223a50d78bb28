"""Planners on a task whose best plan is known: how far below it does each stay, for how many steps of the model?

    python recipes/planners_lqr.py

Two, four and eight carts on springs (`models/linear.py`), horizon 10, 50 starts, no warm start. No best plan asks for
more than 0.9. Regret: (best return - the plan's) / -best, its mean over starts with a 95 % t-interval. A step of the
model forward and back again counts as two. Expected: CEM below random shooting at 4,000 calls; the gradient within 1 %
with the fewest. About two minutes. Writes recipes/results/planners_lqr.json.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from scipy import stats

from stitchrl.core.spec import Continuous, Observation, Spec
from stitchrl.models.linear import Linear
from stitchrl.planners.cem import CEM
from stitchrl.planners.gradient import Gradient
from stitchrl.planners.mppi import MPPI
from stitchrl.planners.planner import imagine
from stitchrl.planners.shooting import Shooting
from stitchrl.runs.directory import system

HORIZON, STARTS = 10, 50
LARGEST = 0.9  # action of all best plans, so that the bounds do not matter to them
CALLS, CARTS = (500, 4_000, 32_000), (2, 4, 8)
RESULT = Path(__file__).parent / 'results' / 'planners_lqr.json'


def makers(spec: Spec, calls: int) -> dict[str, Any]:
    """Every planner, with at most so many steps of the model in a plan."""
    n, rounds = calls // HORIZON, 3 if calls < 1000 else 5
    each = n // rounds
    elites = max(2, each // 10)
    return {
        'shooting': Shooting.create(spec, HORIZON, n, warm=False),
        'cem': CEM.create(spec, HORIZON, each, elites, rounds),
        'cem, coloured noise': CEM.create(spec, HORIZON, each, elites, rounds, colour=1.0),
        'mppi': MPPI.create(spec, HORIZON, each, rounds, temperature=0.1),
        'gradient': Gradient.create(spec, HORIZON, 1, (n - 1) // 2),
    }


@jax.jit
def reached(planner: Any, model: Linear, starts: jax.Array, keys: jax.Array) -> jax.Array:
    """The true return of the whole plan made at each start, [STARTS]."""

    def one(start: jax.Array, key: jax.Array) -> jax.Array:
        action, memory, _ = planner.plan(model, start, planner.remember(1)[0], key)
        return imagine(model, start, jnp.concatenate([action[None], memory[:-1]])[None], key)[0]

    return jax.vmap(one)(starts, keys)


def regrets(carts: int) -> dict[str, dict[str, dict[str, Any]]]:
    """By calls and planner: regret in percent, half of its interval, steps of the model."""
    model = Linear.carts(carts)
    spec = Spec(Observation((2 * carts,)), Continuous(carts, (-1.0,) * carts, (1.0,) * carts))
    starts = jr.uniform(jr.key(5), (STARTS, 2 * carts), minval=-1, maxval=1)
    starts = starts * LARGEST / max(abs(model.best(start, HORIZON)[0]).max() for start in starts)
    plans = [model.best(start, HORIZON) for start in starts]
    best, table = np.array([total for _, total in plans]), {}
    for calls in CALLS:
        table[str(calls)] = {}
        for name, planner in makers(spec, calls).items():
            found = np.asarray(reached(planner, model, starts, jr.split(jr.key(0), STARTS)), np.float64)
            off = 100 * (best - found) / -best
            half = stats.t.ppf(0.975, STARTS - 1) * off.std(ddof=1) / STARTS**0.5
            row = {'regret_percent': round(float(off.mean()), 3), 'half_interval': round(float(half), 3)}
            row['calls'] = planner.calls
            table[str(calls)][name] = row
            print(f'{carts} carts, {calls:6,} calls, {name:20s} {off.mean():8.2f} % +- {half:.2f}', flush=True)
    return table


def verdicts(table: dict[str, Any]) -> dict[str, bool]:
    """The marks, on two carts."""
    percent = {calls: {name: row['regret_percent'] for name, row in rows.items()} for calls, rows in table.items()}
    first = {name: next((int(c) for c in percent if percent[c][name] <= 1), None) for name in percent['500']}
    others = [calls for name, calls in first.items() if name != 'gradient' and calls is not None]
    return {
        'cem below shooting at 4000': percent['4000']['cem'] < percent['4000']['shooting'],
        'gradient within 1 % with the fewest calls': first['gradient'] is not None
        and all(first['gradient'] < calls for calls in others),
    }


def main() -> None:
    """All sizes, then the table."""
    tables = {str(carts): regrets(carts) for carts in CARTS}
    result = {
        'command': 'python recipes/planners_lqr.py',
        'system': system(),
        'settings': {'horizon': HORIZON, 'starts': STARTS, 'largest_best_action': LARGEST},
        'marks': verdicts(tables['2']),
        'carts': tables,
    }
    RESULT.write_text(json.dumps(result, indent=1) + '\n')
    print(result['marks'])


if __name__ == '__main__':
    main()
