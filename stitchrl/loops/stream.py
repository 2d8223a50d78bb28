"""Agents in an environment, chunk by chunk: what a session works through when it learns online."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.data.blend import source
from stitchrl.data.dataset import Dataset
from stitchrl.data.replay import Replay
from stitchrl.envs.env import Env
from stitchrl.envs.gymnasium import Lanes
from stitchrl.loops.beside import Beside
from stitchrl.loops.chunk import Chunk, beside, mean_of
from stitchrl.loops.offline import INSPECT, REFRESH, UPDATE, roots
from stitchrl.loops.online import Live, device_ticks, looked_at, start
from stitchrl.loops.plan import Plan, Roots, Tally
from stitchrl.loops.seeds import apart, over_seeds, side_by_side, whole

ACT, WORLD = 3, 4  # streams of randomness beside those of the offline loop


class Stream:
    """An environment, device or host, in which S agents act and learn; `data` is the recording that is mixed in."""

    def __init__(
        self,
        env: Any,
        boundary: Boundary,
        data: Dataset | None,
        plan: Plan,
        capacity: int,
        seed: int,
        processes: bool = False,
    ):
        self.env, self.boundary, self.data, self.plan, self.seed = env, boundary, data, plan, seed
        self.capacity, self.processes, self.beside = capacity, processes, None

    def roots(self, seeds: int) -> Roots:
        """Keys of `seeds` agents."""
        return Roots(*(roots(self.seed, seeds, stream) for stream in (ACT, WORLD, UPDATE, REFRESH)))

    def fresh(self, agents: Agent) -> Live:
        """Before the first step."""
        seeds = jax.tree.leaves(agents)[0].shape[0]
        return start(agents, self.env.spec, self.first_world(seeds), self.capacity, self.plan)

    def first_world(self, seeds: int) -> Any:
        """States or observations at the start, [S, n, ...]."""
        if isinstance(self.env, Env):
            keys = jax.vmap(lambda key: jax.random.split(key, self.plan.lanes))(roots(self.seed, seeds, WORLD))
            return jax.vmap(jax.vmap(self.env.reset))(keys)
        obs = self.env.spec.obs
        return jnp.zeros((seeds, self.plan.lanes, *obs.shape), obs.dtype)

    def chunks(self, live: Live, first: int, stop: int, chunk: int) -> Iterator[Chunk]:
        """Ticks first .. stop - 1, a Chunk after every `chunk`; its `step` counts steps of all of one agent's
        environments. On the host the episodes of a run that is resumed begin anew."""
        seeds, device = live.returns.shape[0], isinstance(self.env, Env)
        keys, inspect = self.roots(seeds), roots(self.seed, seeds, INSPECT)
        try:
            live = live if device else self.enter(live, first)
            yield from rounds(
                live,
                (keys, inspect),
                range(first, stop, chunk),
                self.plan.lanes,
                self.ticks,
                looked_at,
                None if device else 1,
            )
        finally:
            if self.beside is not None:
                self.beside.close()

    def enter(self, live: Live, first: int) -> Live:
        """Host environments begin; what they did before in a run that is resumed is closed."""
        seeds = live.returns.shape[0]
        vector = self.env.vector(seeds * self.plan.lanes, self.processes)
        self.beside = Beside(self.env.name, vector, seeds, self.plan)
        world = self.beside.reset(self.seed + first, self.env.spec.obs.dtype)
        memory = jax.vmap(lambda agent: agent.remember(self.plan.lanes))(live.agents)
        blank = jax.tree.map(jnp.zeros_like, (live.returns, live.lengths))
        live = live._replace(world=world, memory=memory, returns=blank[0], lengths=blank[1])
        return live._replace(replay=jax.vmap(lambda ring: ring.cut())(live.replay))

    def ticks(self, live: Live, keys: Roots, first: int, n: int) -> Live:
        """n ticks from tick `first` on."""
        constants = self.boundary, self.data
        for tick, count, each in self.plan.pieces(first, first + n):
            if self.plan.refreshes(tick):
                live = refreshed(live, self.data, keys, np.int32(tick), self.plan)
            if self.beside is not None:
                live = self.beside.ticks(live, constants, keys, tick, count, each)
            else:
                live = device_ticks(live, self.env, constants, keys, np.int32(tick), count, self.plan, each)
        return live


def glimpse(env: Any, seed: int) -> np.ndarray:
    """The observation with which an episode begins, of a device or a host environment."""
    if isinstance(env, Env):
        return np.asarray(env.reset(jr.key(seed)).obs)
    vector = env.vector(1)
    try:
        return Lanes(vector).reset(seed)[0]
    finally:
        vector.close()


@partial(jax.jit, donate_argnums=0, static_argnums=4)
def refreshed(live: Live, data: Dataset | None, roots: Roots, t: jax.Array, plan: Plan) -> Live:
    """All agents after their `refresh`, before tick t."""

    def one(agent: Agent, replay: Replay, root: jax.Array) -> Agent:
        return agent.refresh(source(data, replay, plan.mix), jr.fold_in(root, t), t * plan.lanes)

    return live._replace(agents=over_seeds(one, live.agents, live.replay, roots.refresh))


def rounds(
    state: Any,
    keys: tuple[Any, Any],
    ticks: range,
    lanes: int,
    play: Callable[[Any, Any, int, int], Any],
    look: Callable[[Any, Any, Any], dict[str, jax.Array]],
    most: int | None = None,
) -> Iterator[Chunk]:
    """`play(state, keys, tick, n)` from the first tick to the last, a Chunk where a multiple of the range's step is
    passed. `keys`: for `play` and for `look`. `most`: groups of seeds, by default one for each core."""
    first, (groups, playing, looking) = ticks.start, (apart(part, most) for part in (state, *keys))
    with side_by_side() as every:
        while first < ticks.stop:
            n = min(ticks.step - first % ticks.step, ticks.stop - first)
            go = lambda group, keys, first=first, n=n: play(
                group._replace(tally=jax.tree.map(jnp.zeros_like, group.tally)), keys, first, n
            )
            groups = every(go, groups, playing)
            first += n
            tally = jax.device_get(whole([group.tally for group in groups]))
            info = told(tally)
            if tally.updates.any():
                looks = [look(group, key, np.int32(first)) for group, key in zip(groups, looking, strict=True)]
                info |= beside(looks, 0)
            step = first * lanes
            yield Chunk(step, groups, info, broken(tally, step), int(tally.bad.sum()))


def told(tally: Any) -> dict[str, np.ndarray]:
    """Means of what was tallied, name -> [S]; what did not happen in every agent is left out."""
    info = {}
    if tally.episodes.all():
        info |= {'train/return': tally.returns / tally.episodes, 'train/length': tally.lengths / tally.episodes}
    if tally.updates.all():
        info |= mean_of(tally.sums, tally.updates)
    return info | {'train/episodes': tally.episodes}


def broken(tally: Tally, step: int) -> tuple[int, int, str] | None:
    """(step, seed, name) of a metric whose sum is not finite, a loss before what follows from it."""
    bad = [(not name.endswith('/loss'), name) for name, values in tally.sums.items() if not np.isfinite(values).all()]
    if not bad:
        return None
    name = min(bad)[1]
    return step - 1, int(np.argwhere(~np.isfinite(tally.sums[name]))[0, 0]), name
