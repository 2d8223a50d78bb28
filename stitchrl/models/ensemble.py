"""A probabilistic ensemble: several networks that say how the state will change, and how sure they are.

    y = (s' - s, r),    p_e(y | s, a) = N(mu_e, diag exp l_e),    l = low + softplus(high - softplus(high - raw) - low)
    loss = sum_e E[(mu - y)^2 exp(-l) + l] + 0.01 sum(high - low) + decay sum W^2 / 2  (+ cross entropy of the end)

Inputs and targets are scaled by the moments of what was learned from. Each member learns from a bootstrap of its own;
the elites, those that do best on held-out rows (see `models.fit`), answer. They differ where data are few.

Propagation: 'ts1' gives each row another elite in every step, 'tsinf' keeps the one it has, 'mean' averages the means
of all and draws nothing. Chua et al., 2018 (PETS); bounds, elites and constants as in Janner et al., 2019 (MBPO).
"""

from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.learner import Learner, adam
from stitchrl.core.spec import Spec
from stitchrl.core.types import Transition
from stitchrl.errors import UsageError
from stitchrl.models.member import Guess, Member, Scale
from stitchrl.models.model import Info, WorldModel
from stitchrl.nets.dense import Ensemble

Propagation = Literal['ts1', 'tsinf', 'mean']
WEIGHTS = {'nll': 1.0, 'bounds': 0.01, 'decay': 5e-5, 'ends': 1.0}


class Dynamics(WorldModel):
    """E members as one. Latent: the observation [B, O]."""

    members: Learner  # of an Ensemble of Member
    scale: Scale
    elites: jax.Array  # [K] int32
    spec: Spec = eqx.field(static=True)
    propagation: str = eqx.field(static=True)
    reward: bool = eqx.field(static=True)  # whether it predicts the reward; if not, all rewards are 0

    @classmethod
    def create(
        cls,
        spec: Spec,
        key: jax.Array,
        hidden: tuple[int, ...] = (200, 200, 200, 200),
        members: int = 7,
        elites: int = 5,
        propagation: Propagation = 'tsinf',
        reward: bool = True,
        ends: bool = False,
        lr: float = 1e-3,
    ) -> 'Dynamics':
        """Fresh members, the first of them elites. UsageError for images, more elites than members, another
        propagation."""
        if len(spec.obs.shape) != 1:
            raise UsageError(f'observations {spec.obs.shape}: this model predicts vectors; images need a latent one')
        if not 0 < elites <= members:
            raise UsageError(f'{elites} elites of {members} members; expected 1 to {members}')
        if propagation not in get_args(Propagation):
            raise UsageError(f'propagation {propagation!r}; expected {", ".join(get_args(Propagation))}')
        n_in, dim = spec.obs.shape[0] + spec.action_dim, spec.obs.shape[0] + reward
        nets = Ensemble(partial(Member, n_in, hidden, dim, ends), members, key=key)
        scale = Scale(jnp.zeros(n_in), jnp.ones(n_in), jnp.zeros(dim), jnp.ones(dim))
        return cls(Learner.create(nets, adam(lr)), scale, jnp.arange(elites), spec, propagation, reward)

    @property
    def count(self) -> int:
        """Members, E."""
        return jax.tree.leaves(self.members.net)[0].shape[0]

    def observe(self, latent: Any, action: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
        return obs

    def step(self, latent: jax.Array, action: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """As every model's; mask is 1 - p(end) of the member that answers."""
        k_rows, k_noise = jr.split(key)
        x, nets = self.scale.x(self.inputs(latent, action)), self.chosen()
        if self.propagation == 'mean':
            guess = each(nets, jnp.broadcast_to(x[None], (len(self.elites), *x.shape)))
            y, mask = guess.mean.mean(0), jax.nn.sigmoid(-guess.end).mean(0)
        else:
            guess = shared(nets, x, k_rows if self.propagation == 'ts1' else None)
            noise = jr.normal(k_noise, guess.mean.shape)
            y, mask = guess.mean + jnp.sqrt(guess.var) * noise, jax.nn.sigmoid(-guess.end)
        y, width = self.scale.y_out(y), latent.shape[-1]
        return latent + y[:, :width], y[:, width] if self.reward else jnp.zeros(len(y)), mask

    def inputs(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """[..., O] and [..., A], or [...] int32 as one of n, -> [..., I]."""
        action = jax.nn.one_hot(action, self.spec.action_dim) if self.spec.discrete else action
        return jnp.concatenate([obs, action], -1)

    def targets(self, batch: Transition) -> jax.Array:
        """What is to be predicted, [..., D]: the change of the state, and the reward."""
        change = batch.next_obs - batch.obs
        return jnp.concatenate([change, batch.reward[..., None]], -1) if self.reward else change

    def chosen(self) -> Any:
        """The elites alone."""
        return jax.tree.map(lambda leaf: leaf[self.elites], self.members.net.members)

    def loss(self, batch: Transition, key: jax.Array) -> tuple[Info, Info]:
        """batch [E, B, ...], rows of its own for each member. The losses, named as in WEIGHTS, sum over members."""
        nets = self.members.net.members
        guess = each(nets, self.scale.x(self.inputs(batch.obs, batch.action)))
        error = (guess.mean - self.scale.y(self.targets(batch))) ** 2
        losses = {
            'nll': (error / guess.var + jnp.log(guess.var)).mean((1, 2)).sum(),
            'bounds': (nets.high - nets.low).sum(),
            'decay': sum(((layer.weight**2).sum() / 2 for layer in nets.layers), jnp.zeros(())),
            'ends': cross_entropy(guess.end, 1 - batch.mask).mean(1).sum() if nets.ends else jnp.zeros(()),
        }
        return losses, {'model/mse': error.mean(), 'model/std': jnp.sqrt(guess.var).mean()} | {
            f'model/{name}': value for name, value in losses.items()
        }

    def update(self, batch: Transition, key: jax.Array) -> tuple['Dynamics', Info]:
        """One gradient step of every member on rows of its own, [E, B, ...]."""
        constant = replace(self, members=Learner((), (), None))  # all of it but what learns
        members, info = self.members.step(objective, constant, batch, key)
        return replace(self, members=members), info

    def errors(self, batch: Transition, inside: jax.Array) -> jax.Array:
        """Mean squared error of each member on the same rows [B, ...] where `inside` [B] is 1, scaled units, [E]."""
        x, y = self.scale.x(self.inputs(batch.obs, batch.action)), self.scale.y(self.targets(batch))
        guess = each(self.members.net.members, jnp.broadcast_to(x[None], (self.count, *x.shape)))
        square = ((guess.mean - y[None]) ** 2).mean(-1)
        return (square * inside[None]).sum(1) / jnp.maximum(inside.sum(), 1)


def objective(net: Any, model: Dynamics, batch: Transition, key: jax.Array) -> tuple[jax.Array, Info]:
    """The weighted sum of the losses; `net` is what learns."""
    losses, info = replace(model, members=Learner(net, (), None)).loss(batch, key)
    total = sum((WEIGHTS[name] * value for name, value in losses.items()), jnp.zeros(()))
    return total, {'model/loss': total} | info


def cross_entropy(logit: jax.Array, ended: jax.Array) -> jax.Array:
    """- log p(ended), ended 0 or 1."""
    return jax.nn.softplus(logit) - ended * logit


def each(nets: Member, x: jax.Array) -> Guess:
    """Every member on rows of its own, [E, B, I] -> [E, B, ...]: one product a layer."""
    return jax.vmap(lambda net, x: net(x))(nets, x)


def shared(nets: Member, x: jax.Array, key: jax.Array | None) -> Guess:
    """Every row [B, I] by one of K members, as many by each: K blocks of rows in order, or, with a key, any rows."""
    count, n = nets.low.shape[0], x.shape[0]
    if key is not None:
        order = jr.permutation(key, n)
        back = jnp.argsort(order)
        return jax.tree.map(lambda out: out[back], shared(nets, x[order], None))
    size = -(-n // count)
    blocks = jnp.pad(x, ((0, size * count - n), (0, 0))).reshape(count, size, -1)
    return jax.tree.map(lambda out: out.reshape(size * count, *out.shape[2:])[:n], each(nets, blocks))
