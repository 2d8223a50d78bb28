"""An algorithm explained by what its update does: computed, not told. `spy` says how."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent
from stitchrl.core.spec import Continuous, Discrete, Observation, Spec
from stitchrl.data.columns import Columns
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.report.spy import Step, networks, observed, watch, with_network
from stitchrl.report.switches import closed, misled, opened, poisoned, redrawn

WIDTH, ROWS, LENGTH = 3, 24, 6  # of observations and actions; steps, and those of an episode
TINY = {'hidden': (8, 8), 'batch': 8, 'steps': 4}
LATER = {'warmup': 0, 'delay': 2}  # what comes behind a warm-up is told, and what waits its turn gets one
KINDS = {
    'continuous': Spec(Observation((WIDTH,)), Continuous(WIDTH, (-1.0,) * WIDTH, (1.0,) * WIDTH)),
    'discrete': Spec(Observation((WIDTH,)), Discrete(WIDTH)),
}


Steps = dict[tuple[str, str], Step]


class Trace(NamedTuple):
    """How something gets into a loss."""

    network: str  # whose
    through: list[str]  # the arguments that carry it; none: it happens in the loss itself
    into: list[str]  # metrics that it reaches
    spares: list[str]  # metrics that it does not


class Loss(NamedTuple):
    """What one loss does."""

    name: str
    learner: str
    learns: bool  # its gradient is not zero
    detached: dict[str, list[str]]  # network -> arguments made with it; their gradient goes nowhere
    through: list[str]  # networks that the gradient leads through, without changing them
    unseen: list[Trace]  # which critic is asked about actions that the data does not hold
    own: list[Trace]  # which policy's log-density of its own actions enters


class Explanation(NamedTuple):
    """All losses, in the order of the update."""

    algo: str
    actions: str  # continuous or discrete
    networks: list[str]
    losses: list[Loss]


def explain(algo: str, cfg: Any = None, actions: str | None = None) -> Explanation:
    """Run one update in many variants and say what depended on what.

    cfg: the algorithm's Config, whose sizes and steps are overridden, and after whose warm-up the update is, if it
    has one; default: its defaults. actions:
    'continuous' or 'discrete'; default: the first that the algorithm takes. UsageError where it does not.
    """
    cfg = algorithm(algo).Config() if cfg is None else cfg
    shorter = {name: min(value, getattr(cfg, name, value)) for name, value in LATER.items()}
    cfg = replace(cfg, **{name: value for name, value in (TINY | shorter).items() if hasattr(cfg, name)})
    agent, actions = first_agent(algo, cfg, actions)
    with jax.debug_nans(False):
        runs = Runs.of(agent, KINDS[actions], cfg.steps)
    return Explanation(algo, actions, list(networks(agent)), [loss(runs, key) for key in runs.base])


def as_json(found: Explanation) -> dict[str, Any]:
    """The explanation as a tree of JSON values."""
    traces = lambda each: [trace._asdict() for trace in each]
    losses = [loss._asdict() | {'unseen': traces(loss.unseen), 'own': traces(loss.own)} for loss in found.losses]
    return found._asdict() | {'losses': losses}


def first_agent(algo: str, cfg: Any, actions: str | None) -> tuple[Agent, str]:
    """An agent with random weights and switches, for the kind of actions asked for or the first that fits."""
    if actions is not None:
        return opened(random_agent(algo, cfg, KINDS[actions])), actions
    try:
        return first_agent(algo, cfg, 'continuous')
    except UsageError:
        return first_agent(algo, cfg, 'discrete')


def random_agent(algo: str, cfg: Any, spec: Spec) -> Agent:
    """An agent whose weights, target networks' too, are all drawn anew; its optimisers are at rest."""
    shapes = jax.eval_shape(partial(algorithm(algo).ALGO.create, spec, cfg), jr.key(0))
    agent = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
    for seed, (name, net) in enumerate(networks(agent).items()):
        agent = with_network(agent, name, redrawn(net, seed))
    return agent


def recording(spec: Spec, still: bool) -> Dataset:
    """Random episodes, every other one cut; still: every action is 0."""
    rng, row = np.random.default_rng(0), np.arange(ROWS)
    last, task = row % LENGTH == LENGTH - 1, row // LENGTH % 2 == 0
    obs, next_obs = rng.normal(size=(2, ROWS, WIDTH)).astype(np.float32)
    pick = rng.integers(WIDTH, size=ROWS, dtype=np.int32)
    action = pick if spec.discrete else rng.uniform(-0.9, 0.9, (ROWS, WIDTH)).astype(np.float32)
    reward = rng.normal(size=ROWS).astype(np.float32)
    columns = Columns(obs, (not still) * action, reward, last & task, last & ~task, next_obs)
    return jax.device_put(replace(Dataset.from_columns(columns, -1, 1), spec=spec))


class Runs(NamedTuple):
    """The same update with one thing changed at a time."""

    base: Steps
    redrawn: dict[str, Steps]  # by network
    closed: dict[str, Steps]
    still: Steps  # every action of the data is 0, as in the two that follow
    poisoned: dict[str, Steps]
    misled: dict[str, Steps]

    @classmethod
    def of(cls, agent: Agent, spec: Spec, steps: int) -> 'Runs':
        """All runs, over as few updates as show every loss once."""
        data, still = recording(spec, False), recording(spec, True)
        shown: dict[int, set[tuple[str, str]]] = {}
        for t in range(steps):
            names = {(step.learner, step.loss) for step in jax.eval_shape(partial(observed, times=(t,)), agent, data)}
            if not names <= set().union(*shown.values()):
                shown[t] = names
        look = partial(watch, times=tuple(shown))
        every = lambda change, rows: {
            name: look(with_network(agent, name, change(net)), rows) for name, net in networks(agent).items()
        }
        return cls(
            base=look(agent, data),
            redrawn=every(partial(redrawn, seed=len(networks(agent))), data),
            closed=every(closed, data),
            still=look(agent, still),
            poisoned=every(partial(poisoned, actions=spec.action_dim), still),
            misled=every(misled, still),
        )


def loss(runs: Runs, key: tuple[str, str]) -> Loss:
    """What the runs say of one loss."""
    step = runs.base[key]
    detached = {name: carriers(step, other[key]) for name, other in runs.redrawn.items()}
    through = [name for name, other in runs.closed.items() if not same(step.slope, other[key].slope)]
    unseen = [trace(name, runs.still[key], other[key], poison=True) for name, other in runs.poisoned.items()]
    own = [trace(name, runs.still[key], other[key]) for name, other in runs.misled.items()]
    return Loss(
        name=step.loss,
        learner=step.learner,
        learns=any(np.any(x != 0) for x in step.slope),
        detached={name: args for name, args in detached.items() if args},
        through=[name for name in through if name != step.learner],
        unseen=[found for found in unseen if found],
        own=[found for found in own if found],
    )


def carriers(before: Step, after: Step) -> list[str]:
    """Arguments that changed and that the loss depends on; if its slope shows none, all that changed."""
    names = changed(before.args, after.args)
    matter = [name for name in names if any(np.any(x != 0) for x in before.arg_slope.get(name, []))]
    return matter or ([] if same(before.value, after.value) else names)


def trace(network: str, before: Step, after: Step, poison: bool = False) -> Trace | None:
    """What a change of `network` changed in a step, or made NaN; None if nothing."""
    hit = spoiled if poison else changed
    into, through = hit(before.info, after.info), hit(before.args, after.args)
    if not into and not hit({'': before.value}, {'': after.value}):
        return None
    through = [name for name in through if name not in before.whole]
    return Trace(network, through, into, [name for name in before.info if name not in into])


def spoiled(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names whose arrays hold a NaN that they did not."""
    holds = lambda tree: any(np.isnan(x).any() for x in jax.tree.leaves(tree) if np.issubdtype(x.dtype, np.floating))
    return [name for name in before if holds(after[name]) and not holds(before[name])]


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names whose arrays are not the same."""
    return [name for name in before if not same(before[name], after[name])]


def same(one: Any, other: Any) -> bool:
    """Whether two trees of arrays are equal, a NaN being equal to itself."""
    return jax.tree.all(jax.tree.map(partial(np.array_equal, equal_nan=True), one, other))
