"""The online loops: act, keep, learn. In a device environment all in one compiled program; beside host environments
one program per step. Knows no algorithm and no environment by name.

Tick t steps every environment once. Acting draws from fold_in(root, t), update u from fold_in(root', u), and u follows
from t alone: a resumed run draws what the unbroken run would have drawn.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import EDGE, Boundary
from stitchrl.core.spec import Spec
from stitchrl.core.types import Step
from stitchrl.data.blend import source
from stitchrl.data.dataset import Dataset
from stitchrl.data.replay import Replay
from stitchrl.envs.env import Env
from stitchrl.loops.evaluate import like
from stitchrl.loops.plan import Plan, Roots, Tally
from stitchrl.loops.seeds import over_seeds


class Live(NamedTuple):
    """What a run carries from tick to tick. Every leaf has a leading axis of S agents."""

    agents: Agent
    replay: Replay
    memory: Any  # [S, n, ...]
    world: Any  # [S, n, ...], the state of device environments, the present observation of host ones
    returns: jax.Array  # [S, n], of the episodes that are going
    lengths: jax.Array  # [S, n]
    tally: Tally


def start(agents: Agent, spec: Spec, world: Any, capacity: int, plan: Plan) -> Live:
    """Before the first step: an empty ring for every agent."""
    seeds, n = jax.tree.leaves(agents)[0].shape[0], plan.lanes
    replay = jax.vmap(lambda _: Replay.create(spec, capacity, n))(jnp.arange(seeds))
    memory = jax.vmap(lambda agent: agent.remember(n))(agents)
    return Live(agents, replay, memory, world, jnp.zeros((seeds, n)), jnp.zeros((seeds, n)), blank(agents, replay))


def blank(agents: Agent, replay: Replay) -> Tally:
    """A tally of nothing, [S] everywhere."""

    def one(agent: Agent, replay: Any) -> Any:
        return agent.update(agent.draw(replay, jr.key(0)), jr.key(0), jnp.int32(0))[1]

    info = jax.eval_shape(jax.vmap(one), agents, replay)
    seeds = jax.tree.leaves(agents)[0].shape[0]
    zero = lambda: jnp.zeros(seeds)
    return Tally(zero(), {name: zero() for name in info}, zero(), zero(), zero(), zero())


def uniform(spec: Spec, key: jax.Array, n: int) -> jax.Array:
    """n random actions in the agent's units, [n, A] or [n] int32."""
    if spec.discrete:
        return jr.randint(key, (n,), 0, spec.action_dim)
    return jr.uniform(key, (n, spec.action_dim), minval=-1, maxval=1)


def choose(
    live: Live, obs: jax.Array, root: jax.Array, t: jax.Array, plan: Plan, each: int | None
) -> tuple[Live, jax.Array]:
    """Exploring actions of one agent at obs [n, ...], in its units; uniform ones for the first `random_steps`, which
    are over where there are updates after `each` tick."""
    k_act, k_random = jr.split(jr.fold_in(root, t))
    step = t * plan.lanes
    own = lambda: live.agents.act(live.memory, obs, k_act, step)
    random = lambda: (uniform(live.replay.spec, k_random, plan.lanes), live.memory)
    action, memory = own() if each else jax.lax.cond(step < plan.random_steps, random, own)
    return live._replace(memory=memory), action


def keep(live: Live, step: Step, boundary: Boundary) -> Live:
    """The step [n, ...] into the ring of one agent. Its action is in the agent's units, all else in the user's."""
    ends = step.terminated | step.truncated
    action = step.action if live.replay.spec.discrete else jnp.clip(step.action, -EDGE, EDGE)
    inward = step._replace(
        obs=boundary.obs(step.obs),
        action=action,
        reward=boundary.reward(step.reward),
        next_obs=boundary.obs(step.next_obs),
    )
    returns, lengths = live.returns + jnp.where(step.valid, step.reward, 0), live.lengths + step.valid
    over, tally = step.valid & ends, live.tally
    again = over | ~step.valid  # a new episode begins
    fresh = live.agents.remember(len(again))
    return live._replace(
        replay=live.replay.add(inward),
        memory=jax.tree.map(lambda new, old: jnp.where(like(again, new), new, old), fresh, live.memory),
        returns=jnp.where(over, 0, returns),
        lengths=jnp.where(over, 0, lengths),
        tally=tally._replace(
            episodes=tally.episodes + over.sum(),
            returns=tally.returns + jnp.where(over, returns, 0).sum(),
            lengths=tally.lengths + jnp.where(over, lengths, 0).sum(),
        ),
    )


def learn(live: Live, data: Dataset | None, root: jax.Array, t: jax.Array, plan: Plan, each: int | None) -> Live:
    """The updates of one agent that are due after tick t: `each`, or where that is None as many as the plan says."""
    rows = source(data, live.replay, plan.mix)

    def one(u: jax.Array, carry: tuple[Agent, Tally]) -> tuple[Agent, Tally]:
        agent, tally = carry
        k_data, k_update = jr.split(jr.fold_in(root, u))
        agent, info = agent.update(agent.draw(rows, k_data), k_update, u)
        fine = jnp.isfinite(jnp.stack(list(info.values()))).all()
        sums = {name: tally.sums[name] + value for name, value in info.items()}
        return agent, tally._replace(updates=tally.updates + 1, sums=sums, bad=tally.bad + ~fine)

    carry, u = (live.agents, live.tally), plan.due(t)
    if each is None:
        carry = jax.lax.fori_loop(u, plan.due(t + 1), one, carry)
    else:
        for i in range(each):
            carry = one(u + i, carry)
    return live._replace(agents=carry[0], tally=carry[1])


@partial(jax.jit, donate_argnums=0, static_argnums=(5, 6, 7))
def device_ticks(
    live: Live, env: Env, constants: Any, roots: Roots, first: jax.Array, n: int, plan: Plan, each: int | None
) -> Live:
    """Ticks first .. first + n - 1 in a device environment; `constants` is (boundary, recording or None)."""
    boundary, data = constants

    def one(roots: Roots, live: Live, t: jax.Array) -> Any:
        live, action = choose(live, boundary.obs(live.world.obs), roots.act, t, plan, each)
        k_step, k_reset = (jr.split(key, plan.lanes) for key in jr.split(jr.fold_in(roots.world, t)))
        after = jax.vmap(env.step)(live.world, boundary.action_out(action), k_step)
        ends = after.terminated | after.truncated
        step = Step(
            live.world.obs, action, after.reward, after.obs, after.terminated, after.truncated, jnp.ones_like(ends)
        )
        live = learn(keep(live, step, boundary), data, roots.update, t, plan, each)
        again = jax.vmap(env.reset)(k_reset)
        world = jax.tree.map(lambda new, old: jnp.where(like(ends, new), new, old), again, after)
        return live._replace(world=world), None

    ticks = lambda live, roots: jax.lax.scan(partial(one, roots), live, first + jnp.arange(n))[0]
    return jax.vmap(ticks)(live, roots)  # a single one too: off and on again, its axis would cost a copy of the ring


@partial(jax.jit, donate_argnums=0, static_argnums=(5, 6, 7))
def host_tick(
    leaves: list[jax.Array],
    seen: Any,
    constants: Any,
    roots: Roots,
    t: jax.Array,
    tree: Any,
    plan: Plan,
    each: int | None,
) -> tuple[list[jax.Array], jax.Array]:
    """What follows a step of the host's environments: keep it, learn, and choose the next actions.

    `leaves` are those of (Live, actions of this step), flat because a call per step should not walk a tree in Python.
    `seen` is (reward, next_obs, terminated, truncated, valid, present obs), [S, n, ...]. -> leaves, raw actions.
    """
    live, action = jax.tree.unflatten(tree, leaves)
    boundary, data = constants

    def one(live: Live, action: jax.Array, seen: Any, roots: Roots) -> Any:
        reward, next_obs, terminated, truncated, valid, now = seen
        step = Step(live.world, action, reward, next_obs, terminated, truncated, valid)
        live = learn(keep(live, step, boundary), data, roots.update, t, plan, each)
        return choose(live._replace(world=now), boundary.obs(now), roots.act, t + 1, plan, each)

    live, action = over_seeds(one, live, action, seen, roots)
    return jax.tree.leaves((live, action)), boundary.action_out(action)


@partial(jax.jit, static_argnums=4)
def first_actions(live: Live, boundary: Boundary, roots: Roots, t: jax.Array, plan: Plan) -> Any:
    """(live, actions, raw actions) at the present observations, for tick t."""
    one = lambda live, root: choose(live, boundary.obs(live.world), root, t, plan, None)
    live, action = jax.vmap(one)(live, roots.act)
    return live, action, boundary.action_out(action)


@jax.jit
def looked_at(live: Live, root: jax.Array, t: jax.Array) -> dict[str, jax.Array]:
    """The agents' own diagnostics on a batch of the ring, {name: [S]}."""

    def one(agent: Agent, replay: Any, root: jax.Array) -> dict[str, jax.Array]:
        k_data, k_use = jr.split(jr.fold_in(root, t))
        return agent.inspect(agent.draw(replay, k_data), k_use)

    return over_seeds(one, live.agents, live.replay, root)
