"""The online loops: what is kept, when it is learned from, and that nothing depends on where a run was cut."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from counting import Counting, DeviceCounting
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from stitchrl.algos import algorithm
from stitchrl.algos.online.dqn import DQN
from stitchrl.core.agent import Agent
from stitchrl.core.boundary import Boundary
from stitchrl.envs import probes
from stitchrl.envs.cartpole import CartPole
from stitchrl.envs.gymnasium import Host, host
from stitchrl.errors import StitchError
from stitchrl.loops.beside import Beside
from stitchrl.loops.evaluate import evaluate
from stitchrl.loops.offline import create
from stitchrl.loops.plan import Plan
from stitchrl.loops.settings import configure
from stitchrl.loops.stream import Stream

pytestmark = [
    pytest.mark.nans,
    pytest.mark.usefixtures('quick_compiles'),
]  # JAX gives up donation while it hunts for NaNs
DEVICE = DeviceCounting.create()
CFG = configure('dqn', 'default', {'hidden': (8,), 'batch': 4, 'steps': 100})


def streaming(env=DEVICE, seed=0, seeds=2, algo=None, cfg=CFG, capacity=200, **plan):
    """(stream, its state before the first step)."""
    plan = Plan(**{'lanes': 2, 'random_steps': 6, **plan})
    boundary = jax.device_put(Boundary.blank(env.spec))
    stream = Stream(env, boundary, None, plan, capacity, seed)
    agents = create(DQN, env.spec, cfg, seed, seeds) if algo is None else algo
    return stream, stream.fresh(agents)


def after(stream, live, ticks, first=0, chunk=5):
    """The state after ticks first .. ticks - 1, and all chunks' infos."""
    infos = []
    for part in stream.chunks(jax.tree.map(jnp.copy, live), first, ticks, chunk):
        live, infos = part.state, [*infos, part]
    return live, infos


def same(one, other):
    equal = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), one, other)
    return jax.tree.all(equal)


@pytest.fixture(scope='module')
def run():
    """Twenty ticks of two agents in two environments each."""
    stream, live = streaming()
    return stream, live, *after(stream, live, 20)


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 8), st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 1.0, 2.0, 2.5]), st.integers(0, 50), st.integers(0, 5000)
)
def test_updates_that_are_due_are_the_exact_share_of_the_steps(lanes, ratio, random_steps, t):
    exact = Fraction(ratio).limit_denominator(100) * max(t * lanes - random_steps, 0)
    assert Plan(lanes, ratio, random_steps).due(t) == int(exact)


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 4),
    st.sampled_from([0.25, 0.5, 1.0, 2.0, 8.0]),
    st.integers(0, 30),
    st.integers(0, 30),
    st.integers(1, 30),
)
def test_the_number_of_updates_is_known_where_it_is_steady(lanes, ratio, random_steps, first, n):
    plan, t = Plan(lanes, ratio, random_steps), first
    for start, count, each in plan.pieces(first, first + n):
        assert start == t
        t += count
        done = np.diff(np.asarray(plan.due(np.arange(start, t + 1))))
        assert each is None or (done == each).all()
        assert each is not None or ratio * lanes != 1 or random_steps % lanes
    assert t == first + n


def test_the_ring_holds_what_happened(run):
    """Every step counts one on, an even hundred ends as a task and an odd one is cut; the reward is the action."""
    _, _, live, _ = run
    ring = jax.tree.map(lambda x: x[0], live.replay)
    assert len(ring) == 40
    batch = jax.device_get(ring.sample(jr.key(0), 1000))
    np.testing.assert_array_equal(batch.next_obs, batch.obs + 1)
    np.testing.assert_array_equal(batch.reward, batch.action)
    ends = (batch.obs[:, 0] % 100 == 2) & (batch.obs[:, 0] % 200 < 100)
    np.testing.assert_array_equal(batch.mask, 1.0 - ends)
    assert 0 < ends.mean() < 1
    assert len(np.unique(batch.obs[:, 0])) > 35


def test_what_is_told_is_what_happened(run):
    """Episodes of three steps: 20 ticks of two environments finish six each."""
    _, _, _, parts = run
    assert [part.step for part in parts] == [10, 20, 30, 40]
    assert sum(part.info['train/episodes'] for part in parts).tolist() == [12, 12]
    for part in parts:
        assert (part.info['train/length'] == 3).all()
        assert part.info['train/return'].max() <= 6
    assert all(np.isfinite(value).all() for part in parts for value in part.info.values())
    assert 'critic/loss' not in parts[0].info or parts[0].step > 6


def test_nothing_is_learned_while_actions_are_random():
    stream, live = streaming(random_steps=20)
    (quiet, _), (busy, _) = after(stream, live, 10), after(stream, live, 11)
    assert same(quiet.agents, live.agents)
    assert not same(busy.agents, live.agents)
    actions = np.asarray(quiet.replay.action)
    assert set(np.unique(actions)) == {0, 1, 2}


@pytest.mark.parametrize(('ratio', 'updates'), [(0.25, 8), (1.0, 34), (2.0, 68)])
def test_so_many_updates_per_step(ratio, updates):
    stream, live = streaming(ratio=ratio)
    parts = after(stream, live, 20, chunk=20)[1]
    assert np.asarray(parts[0].state.tally.updates).tolist() == [updates, updates]


def test_where_a_run_is_cut_changes_no_bit(run):
    stream, live, whole, _ = run
    cut = after(stream, after(stream, live, 7)[0], 20, first=7, chunk=4)[0]
    assert same(cut._replace(tally=whole.tally), whole)
    wrong = after(stream, after(stream, live, 7)[0], 21, first=8)[0]  # the control: another clock
    assert not same(wrong.agents, whole.agents)


def test_an_agent_does_not_know_of_the_others(run):
    whole = run[2]
    stream, live = streaming(seed=1, seeds=1)
    alone = after(stream, live, 20)[0]
    second = jax.tree.map(lambda x: x[1:], whole)
    np.testing.assert_array_equal(alone.replay.obs, second.replay.obs)
    for one, other in zip(jax.tree.leaves(alone.agents), jax.tree.leaves(second.agents), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


class Clock(Agent):
    """Acts as many steps have passed since the episode began, which it remembers, modulo three."""

    weight: jax.Array
    cfg: Any = eqx.field(static=True)

    @classmethod
    def create(cls, spec, cfg, key):
        return cls(jr.normal(key, ()), cfg)

    def remember(self, n):
        return jnp.zeros(n, jnp.int32)

    def act(self, memory, obs, key, t=None):
        return memory % 3, memory + 1

    def update(self, batch, key, t):
        return self, {'critic/loss': self.weight * 0}


@pytest.mark.parametrize('env', [DEVICE, Host('counting', partial(Counting, ((3, True), (3, False))), DEVICE.spec)])
def test_memory_begins_anew_with_every_episode(env):
    """Actions 0, 1, 2 in every episode of three steps: a return of 3 each time."""
    agents = jax.vmap(lambda key: Clock.create(env.spec, CFG, key))(jr.split(jr.key(0), 2))
    stream, live = streaming(env, algo=agents, random_steps=0)
    live, parts = after(stream, live, 12)
    assert (parts[-1].info['train/return'] == 3).all()
    assert np.asarray(live.replay.counts()).tolist() == [[12, 12], [12, 12]]


class Looker(Clock):
    """Keeps what its last refresh saw: its number, the step, the rows there were, and the mean of their rewards."""

    def refresh(self, data, key, t):
        rows, count = data.history()
        here = jnp.arange(len(rows.reward)) < count
        mean = (rows.reward * here).sum() / count
        return replace(self, weight=self.weight.at[:].set(jnp.stack([self.weight[0] + 1, t, count, mean])))

    def update(self, batch, key, t):
        return self, {'critic/loss': self.weight[2] * 0}


@pytest.mark.parametrize('env', [DEVICE, Host('counting', partial(Counting, ((3, True), (3, False))), DEVICE.spec)])
def test_agents_look_at_all_that_is_there_now_and_then(env):
    """Before the first update, after 6 steps, and before every step that is a multiple of 8, on the device and beside
    host environments; a run that is cut just before looks again."""
    stream, live = streaming(env, algo=Looker(jnp.zeros((2, 4)), CFG), refresh=8)
    for ticks, looked in ((3, [0, 0, 0]), (4, [1, 6, 6]), (8, [2, 8, 8]), (9, [3, 16, 16])):
        now, _ = after(stream, live, ticks)
        assert now.agents.weight[:, :3].tolist() == [looked] * 2
    before, _ = after(stream, live, 8)
    assert now.agents.weight[:, 3].tolist() == (before.replay.reward.sum(1) / 16).tolist()
    cut, _ = after(stream, before, 9, first=8)
    assert cut.agents.weight[:, :3].tolist() == [looked] * 2


@pytest.mark.parametrize('mode', list(AutoresetMode))
def test_memory_survives_every_way_of_resetting(mode):
    """Beside host environments, whatever their vector does at an end."""
    env = Host('counting', partial(Counting, ((3, True), (2, False))), DEVICE.spec)
    agents = jax.vmap(lambda key: Clock.create(env.spec, CFG, key))(jr.split(jr.key(0), 1))
    stream, live = streaming(env, algo=agents, random_steps=0)
    live = stream.enter(live, 0)
    stream.beside.close()
    vector = SyncVectorEnv([env.make] * 2, autoreset_mode=mode)
    stream.beside = Beside('counting', vector, 1, stream.plan)
    live = live._replace(world=stream.beside.reset(0, 'float32'))
    live = stream.ticks(live, stream.roots(1), 0, 12)
    ring = jax.tree.map(lambda x: x[0], live.replay)
    stream.beside.close()
    batch = jax.device_get(ring.sample(jr.key(0), 500))
    np.testing.assert_array_equal(batch.next_obs, batch.obs + 1)
    place = batch.obs[:, 0] % 7  # an episode of three steps shows four numbers, one of two steps three
    np.testing.assert_array_equal(batch.action, np.select([place < 4], [place], place - 4))
    np.testing.assert_array_equal(batch.mask, place != 2)


def test_processes_of_their_own_change_nothing():
    """Two copies of CartPole, in this process and in two others."""
    env = host('CartPole-v1')
    rings = []
    for processes in (False, True):
        stream, live = streaming(env, seeds=1, random_steps=0)
        stream.processes = processes
        rings.append(after(stream, live, 40)[0].replay)
    assert same(*rings)
    assert int(rings[0].last.sum()) == 80


class Broken(Counting):
    """Breaks at its fifth step in one of three ways, or has its process paused."""

    def __init__(self, how):
        super().__init__(((100, True),))
        self.how = how

    def step(self, action):
        obs, *rest = super().step(action)
        if self.t == 5 and self.how == 'raises':
            raise RuntimeError('the arm is stuck')
        if self.t == 5 and self.how == 'hangs':
            time.sleep(5)
        if self.t == 5 and self.how == 'paused' and self.np_random_seed % 1000 == 0:  # lane 0
            with subprocess.Popen(['sh', '-c', f'sleep 1; kill -CONT {os.getpid()}']):
                os.kill(os.getpid(), signal.SIGSTOP)
        return (obs * np.nan if self.t == 5 and self.how == 'nan' else obs), *rest


@pytest.mark.parametrize(
    ('how', 'said'),
    [
        ('raises', 'broken raised RuntimeError at environment step 8: the arm is stuck'),
        ('hangs', r'broken: no answer within 0\.5 s at environment step 8; it hangs'),
        ('nan', r'broken: observation \[nan\] at environment step 8 \(agent 0, copy 0\)'),
    ],
)
def test_an_environment_that_breaks_is_named_with_its_step(how, said, monkeypatch):
    monkeypatch.setattr(Beside.__init__, '__defaults__', (0.5,))
    stream, live = streaming(Host('broken', partial(Broken, how), DEVICE.spec))
    with pytest.raises(StitchError, match=said):
        after(stream, live, 20)


def test_a_process_that_was_paused_did_not_hang(monkeypatch):
    monkeypatch.setattr(Beside.__init__, '__defaults__', (0.5,))
    stream, live = streaming(Host('paused', partial(Broken, 'paused'), DEVICE.spec))
    assert int(after(stream, live, 20)[0].replay.last.min()) == 20


def test_a_value_that_is_not_finite_is_named():
    stream, live = streaming(cfg=replace(CFG, lr=1e30))
    parts = after(stream, live, 20)[1]
    step, seed, name = next(part.broken for part in parts if part.broken)
    assert (seed, name) == (0, 'critic/loss')
    assert sum(part.bad for part in parts) >= 3
    assert 6 < step < 40


def test_cartpole_learns_and_with_its_reward_negated_it_falls():
    """One update per step for 4,000 steps; the control, a reward of -1, wants to be over soon."""
    env = CartPole.create(horizon=200)
    cfg = configure('dqn', 'default', {'steps': 4000, 'period': 100, 'hidden': (32, 32), 'batch': 64})
    plan = {'lanes': 1, 'random_steps': 200}
    scores = []
    for shift in (0.0, -2.0):
        stream, live = streaming(env, seeds=3, cfg=cfg, capacity=4500, **plan)
        stream.boundary = replace(stream.boundary, shift=jnp.float32(shift))
        live = after(stream, live, 4000, chunk=2000)[0]
        scores.append(evaluate(live.agents, stream.boundary, env, 0, 10).returns.mean())
    assert scores[0] > 100
    assert scores[1] < 20


@pytest.mark.parametrize(('algo', 'steps'), [('dqn', 800), ('double_dqn', 800), ('td3', 600), ('sac', 600)])
def test_a_world_that_rewards_repeating_what_is_seen_is_learned_by_acting(algo, steps):
    """One step an episode, the best action is worked by hand: sign of the observation, or half of it."""
    module = algorithm(algo)
    world = probes.create('both', discrete=algo.endswith('dqn'))
    own = {'explore': 0.5, 'period': 50} if algo.endswith('dqn') else {}
    own |= {'temperature': 0.05} if algo == 'sac' else {}
    cfg = configure(algo, 'default', {'hidden': (32, 32), 'batch': 64, 'lr': 3e-3, 'steps': steps} | own)
    cfg = replace(cfg, actor_lr=3e-3) if algo == 'sac' else cfg
    agents = create(module.ALGO, world.spec, cfg, 0, 3)
    stream, live = streaming(world, algo=agents, capacity=3 * steps, lanes=1, random_steps=100)
    answer = world.answer(0.8)
    act = jax.jit(jax.vmap(lambda agent: agent.act((), jnp.asarray(answer.obs), jr.key(0))[0]))
    off = lambda agents: np.abs(np.asarray(act(agents)) - answer.action).max()
    assert off(agents) > 0.15  # the control: nobody is born with it
    assert off(after(stream, live, steps, chunk=steps)[0].agents) < 0.15
