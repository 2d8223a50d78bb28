"""Dyna: after each step learn from it, learn the model from it, and learn from what the model makes of other steps.

    Q      <- its own update on steps that were taken
    model  <- its own update on steps that were taken
    Q      <- its own update on s, a, r', s'' with r', s'' ~ model(s, a),      `planning` times

s is a state that was seen, a the action taken there or the one that the agent would take now. With inner `table` this
is Dyna-Q: Q is a table, and the model is what happened last. With `dqn` the model is an ensemble that learns update by
update. Any other model and inner agent by `Dyna.of`. Sutton, 1990.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.algos import algorithm
from stitchrl.core.agent import Agent, Info
from stitchrl.core.boundary import Reward
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.data.dataset import Dataset
from stitchrl.errors import UsageError
from stitchrl.maths.backups import greedy_target
from stitchrl.maths.dists import epsilon_greedy
from stitchrl.models.ensemble import Dynamics
from stitchrl.models.fit import followed
from stitchrl.models.last_seen import LastSeen, onehot, states
from stitchrl.models.model import WorldModel


@dataclass(frozen=True)
class Config:
    """Settings of Dyna; those of the inner agents are theirs."""

    inner: Literal['table', 'dqn', 'double_dqn'] = 'dqn'  # table: for observations that are states, one-hot
    planning: int = 4  # imagined updates after each real one
    actions: Literal['recorded', 'greedy'] = 'recorded'  # in the imagined steps
    hidden: tuple[int, ...] = (64, 64)  # of the inner agent, as the next eight
    lr: float = 1e-3
    batch: int = 128
    gamma: float = 0.99
    rate: float | None = 0.005
    steps: int = 50_000  # environment steps planned in all, or updates on a recording
    final_epsilon: float = 0.02
    explore: float = 0.1
    clip: float | None = 10.0
    model_hidden: tuple[int, ...] = (64, 64)
    members: int = 3
    model_lr: float = 1e-3
    ends: bool = True  # learn where the task ends
    normalise: bool = False  # observations to zero mean and unit deviation
    reward: Reward = 'raw'


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    'default': ('chosen here: DQN, and four imagined updates after each real one', {}),
    'table': (
        "Sutton and Barto's Dyna-Q, chapter 8: one step at a time, a tenth of the actions random",
        {'inner': 'table', 'planning': 50, 'lr': 0.1, 'gamma': 0.95, 'batch': 1, 'steps': 5000}
        | {'final_epsilon': 0.1, 'random_steps': 1},
    ),
}
ONE_HOT, INSTEAD = 'a table needs observations one-hot', '--inner dqn takes any'
BRIEF: dict[str, Any] = {'threshold': 6, 'precision': 3}  # of an observation in a message


class Table(Agent):
    """Q(s, a) <- Q(s, a) + lr (r + gamma m max_b Q(s', b) - Q(s, a)): Watkins, 1989."""

    q: jax.Array  # [S, A]
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'Table':
        """All values 0. UsageError unless observations can be one-hot, by their shape, and actions are discrete."""
        return cls(q=jnp.zeros((states(spec), spec.action_dim)), cfg=cfg)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        k_tie, k_explore = jr.split(key)
        values = self.q[obs.argmax(-1)]
        if t is None:
            return values.argmax(-1).astype(jnp.int32), memory
        tied = jnp.where(values == values.max(-1, keepdims=True), jr.uniform(k_tie, values.shape), -1.0)
        return epsilon_greedy(tied, jnp.float32(self.cfg.final_epsilon), k_explore), memory

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['Table', Info]:
        """Rows of the same s and a are added up. The loss of rows that are not one-hot is no number: that ends the run,
        for only here is it seen what an environment shows after its first observation."""
        at, after = (batch.obs.argmax(-1), batch.action), self.q[batch.next_obs.argmax(-1)]
        error = greedy_target(batch, after, after) - self.q[at]
        loss = jnp.where(onehot(batch.obs).all(), (error**2).mean(), jnp.nan)
        return replace(self, q=self.q.at[at].add(self.cfg.lr * error)), {'critic/loss': loss}


class Dyna(Agent):
    """Discrete actions."""

    inner: Agent
    model: WorldModel
    cfg: Config = eqx.field(static=True)

    @classmethod
    def create(cls, spec: Spec, cfg: Config, key: jax.Array) -> 'Dyna':
        """Fresh. UsageError for continuous actions."""
        if not spec.discrete:
            raise UsageError('dyna needs discrete actions, these are continuous; mbpo takes those')
        k_model, k_inner = jr.split(key)
        if cfg.inner == 'table':
            if cfg.normalise:
                raise UsageError(f'{ONE_HOT}; leave normalise off')
            return cls.of(LastSeen.create(spec), Table.create(spec, cfg, k_inner), cfg)
        module = algorithm(cfg.inner)
        shared = {f.name for f in fields(module.Config)} & {f.name for f in fields(cfg)}
        inner = module.ALGO.create(spec, module.Config(**{name: getattr(cfg, name) for name in shared}), k_inner)
        sizes = cfg.model_hidden, cfg.members, cfg.members, 'ts1'
        return cls.of(Dynamics.create(spec, k_model, *sizes, ends=cfg.ends, lr=cfg.model_lr), inner, cfg)

    @classmethod
    def of(cls, model: WorldModel, inner: Agent, cfg: Config) -> 'Dyna':
        """Of a model and an inner agent that are there; one without `update` stays as it is."""
        if cfg.planning < 0:
            raise UsageError(f'planning {cfg.planning}: expected a number of updates from 0 on')
        return cls(inner=inner, model=model, cfg=cfg)

    @classmethod
    def select(cls, data: Dataset, cfg: Config) -> Dataset:
        """All. UsageError for a table where observations are not one-hot."""
        if cfg.inner == 'table':
            states(data.spec)
            if not (fits := onehot(np.asarray(data.obs))).all():
                row = int(fits.argmin())
                raise UsageError(f'{ONE_HOT}, row {row} is {np.array2string(data.obs[row], **BRIEF)}; {INSTEAD}')
        return data

    @classmethod
    def enter(cls, first: Callable[[], Any], cfg: Config) -> None:
        """UsageError for a table where an episode begins with an observation that is not one-hot."""
        if cfg.inner == 'table' and (obs := first()).ndim == 1 and not onehot(obs):
            raise UsageError(f'{ONE_HOT}, here an episode begins with {np.array2string(obs, **BRIEF)}; {INSTEAD}')

    @classmethod
    def in_parts(cls, cfg: Config) -> bool:
        return cfg.inner != 'table'

    def remember(self, n: int) -> Any:
        return self.inner.remember(n)

    def act(self, memory: Any, obs: jax.Array, key: jax.Array, t: jax.Array | None = None) -> tuple[jax.Array, Any]:
        return self.inner.act(memory, obs, key, t)

    def draw(self, data: Any, key: jax.Array) -> Transition:
        """[1 + planning + E, B, ...]: steps to learn from, steps to imagine anew, rows for each of E members."""
        count = 1 + self.cfg.planning + (self.model.count if isinstance(self.model, Dynamics) else 0)
        rows = data.sample(key, count * self.cfg.batch, 1, self.cfg.gamma)
        return jax.tree.map(lambda x: x.reshape(count, self.cfg.batch, *x.shape[1:]), rows)

    def update(self, batch: Transition, key: jax.Array, t: jax.Array) -> tuple['Dyna', Info]:
        k_real, k_model, k_plan = jr.split(key, 3)
        part = lambda *where: jax.tree.map(lambda x: x[slice(*where)], batch)
        first, count, u = jax.tree.map(lambda x: x[0], batch), self.cfg.planning, t * (1 + self.cfg.planning)
        inner, info = self.inner.update(first, k_real, u)
        model, m_info = learned(self.model, first, part(1 + count, None), k_model)

        def plan(inner: Agent, row: tuple[Transition, jax.Array]) -> tuple[Agent, None]:
            k_imagine, k_update = jr.split(jr.fold_in(k_plan, row[1]))
            dreamt = imagined(model, inner, row[0], k_imagine, self.cfg)
            return inner.update(dreamt, k_update, u + 1 + row[1])[0], None

        inner, _ = jax.lax.scan(plan, inner, (part(1, 1 + count), jnp.arange(count)))
        return replace(self, inner=inner, model=model), info | m_info

    def inspect(self, batch: Transition, key: jax.Array) -> Info:
        return self.inner.inspect(jax.tree.map(lambda x: x[0], batch), key)


def learned(model: WorldModel, first: Transition, own: Transition, key: jax.Array) -> tuple[Any, Info]:
    """The model after one update: an ensemble on rows of each member's own, another on those of the agent."""
    if isinstance(model, Dynamics):
        return followed(model, own).update(own, key)
    return model.update(first, key) if isinstance(model, LastSeen) else (model, {})


def imagined(model: WorldModel, inner: Agent, batch: Transition, key: jax.Array, cfg: Config) -> Transition:
    """What the model makes of steps [B] from where `batch` began."""
    k_act, k_observe, k_step = jr.split(key, 3)
    action = batch.action
    if cfg.actions == 'greedy':
        action = inner.act(inner.remember(len(action)), batch.obs, k_act)[0]
    latent = model.observe(None, None, batch.obs, k_observe)
    after, reward, mask = model.step(latent, action, k_step)
    return Transition(batch.obs, action, reward, model.seen(after), mask, cfg.gamma * mask, jnp.zeros_like(action))


ALGO = Dyna
