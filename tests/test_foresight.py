"""Looking ahead along what was really done, in a world where every number is known."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toy_models import ONE, Line

from stitchrl.core.boundary import Boundary
from stitchrl.errors import UsageError
from stitchrl.report import foresight_picture
from stitchrl.report.foresight import LEVELS, look, spread_out
from stitchrl.report.rollout import Played

UNITS = replace(Boundary.blank(ONE), mean=np.ones(1, np.float32), std=np.full(1, 2.0, np.float32), shift=np.float32(3))


def walked(noise: float, seeds: int = 2, episodes: int = 20, steps: int = 30) -> Played:
    """What walks of s' = s + a + noise gave, in units where the agent's s is (s - 1) / 2; the goal is the agent's 0."""
    rng = np.random.default_rng(0)
    shape = seeds, episodes, steps
    action = rng.uniform(-1, 1, (*shape, 1)).astype(np.float32)
    place = np.cumsum(action[..., 0] + noise * rng.normal(size=shape), -1)
    path = 1 + 2 * np.concatenate([np.zeros((seeds, episodes, 1)), place], -1)[..., None].astype(np.float32)
    length, no = np.full((seeds, episodes), steps), np.zeros((seeds, episodes), bool)
    return Played(path[:, :, 0], action, -(place**2) - 3, length, no, np.arange(episodes), path)


def models(noise: float) -> Line:
    return jax.tree.map(lambda x: jnp.full(2, x), Line(noise=noise))


def test_a_true_model_foresees_all():
    played = walked(0.0)
    found = look(models(0.0), UNITS, played, 5)
    assert found.foreseen.shape == (2, 64, 5, 100, 1)
    np.testing.assert_allclose(found.error, 0, atol=1e-5)
    np.testing.assert_allclose(found.expected, found.rewards, atol=1e-3)
    (s, n), (e, t) = (1, 10), found.moments[1, 10]
    np.testing.assert_array_equal(found.start[s, n], played.path[s, e, t])
    np.testing.assert_array_equal(found.seen[s, n], played.path[s, e, t + 1 : t + 6])
    assert found.rewards[s, n] == pytest.approx(played.reward[s, e, t : t + 5].sum(), rel=1e-5)


def test_errors_are_in_deviations_of_what_was_seen():
    """A model that is off by 1 a step, so by 2 h in the user's units, and one in which nothing moves."""

    class Drifting(Line):
        def step(self, latent, action, key):
            after, reward, mask = super().step(latent, action, key)
            return after + 1, reward, mask

    played = walked(0.0)
    found = look(jax.tree.map(lambda x: jnp.full(2, x), Drifting()), UNITS, played, 4)
    deviation = played.path.std()
    np.testing.assert_allclose(found.error, np.tile([2, 4, 6, 8], (2, 1)) / deviation, rtol=1e-3)
    moved = found.seen[:, :, 0] - found.start
    np.testing.assert_allclose(found.still[:, 0], np.sqrt((moved**2).mean((1, 2))) / deviation, rtol=1e-4)


@pytest.mark.parametrize(('said', 'low', 'high'), [(0.5, 0.85, 0.95), (0.15, 0.2, 0.5), (1.5, 0.98, 1.0)])
def test_who_knows_how_sure_it_is_covers_what_it_says(said, low, high):
    """The noise is 0.5: the middle 90 % of a model that says so hold 90 %; of one too sure few, of one unsure all."""
    found = look(models(said), UNITS, walked(0.5), 3)
    covered = [found.coverage(step)[:, np.isclose(LEVELS, 0.9)].mean() for step in (1, 3)]
    assert all(low <= share <= high for share in covered), covered


def test_doubt_grows_with_the_steps_ahead():
    """A model that is right about the first step and then says nothing is random: less and less of it is covered."""

    class Calm(Line):
        def step(self, latent, action, key):
            after, reward, mask = super().step(latent, action, key)
            still = latent + action
            return jnp.where(jnp.abs(latent) > 0.01, still, after), reward, mask

    found = look(jax.tree.map(lambda x: jnp.full(2, x), Calm(noise=0.5)), UNITS, walked(0.5, episodes=64, steps=3), 3)
    assert (found.moments[..., 1] == 0).all()  # where every walk is at the agent's 0
    first, last = (found.coverage(step)[:, np.isclose(LEVELS, 0.9)].mean() for step in (1, 3))
    assert 0.85 < first < 0.95
    assert last < 0.8


def test_moments_leave_room_for_the_look_ahead():
    every = spread_out(np.array([3, 1, 4]), 2)
    assert {tuple(row) for row in every.tolist()} == {(0, 0), (0, 1), (2, 0), (2, 1), (2, 2)}
    assert len(every) == 64


def test_the_horizon_ends_with_the_episodes():
    played = walked(0.0)
    short = replace(played, length=np.full_like(played.length, 3))
    assert look(models(0.0), UNITS, short, 50).seen.shape[2] == 3
    with pytest.raises(UsageError, match='vectors'):
        look(models(0.0), UNITS, replace(played, path=None), 5)


@pytest.mark.parametrize('noise', [0.0, 1e-3])
def test_a_model_that_draws_nothing_is_known_by_it(noise):
    """Its particles are all alike, so that none holds what came; very little noise is noise."""
    assert look(models(noise), UNITS, walked(0.5), 3).draws == (noise > 0)


@pytest.mark.parametrize('noise', [0.0, 0.3])
@pytest.mark.parametrize('horizon', [1, 8])
def test_the_picture_is_drawn(tmp_path, horizon, noise):
    played = walked(0.3)
    found = look(models(noise), UNITS, played, horizon)
    image = foresight_picture.draw('title', 'subtitle', found, played, tmp_path / 'plan.png')
    assert image[:4] == b'\x89PNG'
    assert (tmp_path / 'plan.png').read_bytes() == image
    looks = found.moments[0, foresight_picture.looks(found)]
    assert (looks[:, 0] == 0).all()
    assert (np.diff(looks[:, 1]) > horizon).all()
