import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stitchrl.errors import UsageError
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, exact, lies, overall, paired, record, words
from stitchrl.report.statistics import Interval, interval

PNG = canvas.png(canvas.blank(2, 1), None)
NUMBERS = st.floats(-100, 100)


def between(low, high):
    return Interval((low + high) / 2, low, high, 't-interval', 5, None)


def check(found, control=None, **bounds):
    without = {} if control is None else {'control': control, 'without': 'its cause'}
    return Check((1,), 'it is above zero', found, **({'above': 0.0} | bounds), **without)


def claim(*checks):
    return Claim(checks, PNG, 'a caption', 'a figure')


@pytest.mark.parametrize(
    ('low', 'high', 'verdict'),
    [
        (0.1, 0.9, 'holds'),
        (-0.1, 0.9, 'undecided'),
        (0.1, 1.1, 'undecided'),
        (-1, 2, 'undecided'),
        (-2, -1, 'does not hold'),
        (-2, 0, 'does not hold'),
        (1, 2, 'does not hold'),
        (0, 0.5, 'undecided'),  # the bound itself is not above it
    ],
)
def test_the_verdict_follows_from_the_interval(low, high, verdict):
    assert lies(between(low, high), 0, 1) == verdict


@given(NUMBERS, NUMBERS, NUMBERS)
def test_a_prediction_and_its_opposite_never_both_hold(a, b, bound):
    found = between(min(a, b), max(a, b))
    pair = {lies(found, bound, np.inf), lies(found, -np.inf, bound)}
    assert pair in ({'holds', 'does not hold'}, {'undecided'}, {'undecided', 'does not hold'}, {'does not hold'})


def test_nothing_is_decided_without_an_interval():
    assert lies(interval([5.0]), 0, np.inf) == 'undecided'
    assert lies(interval([5.0, 5.0, 5.0]), 0, np.inf) == 'undecided'


def test_a_number_that_is_not_finite_never_holds():
    assert lies(exact(np.nan), 0, np.inf) == lies(exact(np.inf), 0, np.inf) == 'does not hold'


def test_noise_of_a_coin_does_not_become_a_finding():
    """No effect planted, 200 experiments of 5 seeds: about one in forty may hold by chance, none more often."""
    rng = np.random.default_rng(0)
    held = sum(lies(interval(rng.normal(size=5)), 0, np.inf) == 'holds' for _ in range(200))
    assert held <= 12


def test_a_planted_negative_does_not_hold():
    rng = np.random.default_rng(1)
    found = claim(check(interval(rng.normal(-1, 0.1, 5)), exact(-2)))
    assert found.verdict == 'does not hold'


def test_a_control_that_meets_the_prediction_leaves_it_undecided():
    assert check(exact(1), exact(-1)).verdict == 'holds'
    assert check(exact(1), exact(2)).verdict == 'undecided'
    assert check(exact(1), between(-1, 1)).verdict == 'undecided'
    assert check(exact(-1), exact(2)).verdict == 'does not hold'  # a control saves nothing


def test_one_check_that_fails_outweighs_all_others():
    assert overall(['holds', 'holds']) == 'holds'
    assert overall(['holds', 'undecided']) == 'undecided'
    assert overall(['holds', 'undecided', 'does not hold']) == 'does not hold'


def test_an_experiment_needs_a_control():
    with pytest.raises(UsageError, match='negative control'):
        claim(check(exact(1)))


def test_a_prediction_needs_a_bound_and_a_control_its_words():
    with pytest.raises(UsageError, match='no test'):
        check(exact(1), above=-np.inf)
    with pytest.raises(UsageError, match='no test'):
        check(exact(1), above=2.0, below=1.0)
    with pytest.raises(UsageError, match='without'):
        Check((1,), 'it is above zero', exact(1), above=0.0, control=exact(0))


def test_paired_seeds_lose_what_they_share():
    shared = np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    found = paired(shared + 1 + 0.01 * np.arange(5), shared)
    assert found.low is not None
    assert 0.9 < found.low < found.high < 1.1


def test_equal_rates_get_an_interval_over_episodes():
    ones, none = np.ones((5, 50)), np.zeros((5, 50))
    found = paired(ones, none, rate=True)
    # Newcombe: 1 - sqrt((1 - l)^2 + u^2) with Wilson's l = 1/(1 + z^2/250) and u = 1 - l
    wilson = 1 / (1 + 1.959964**2 / 250)
    assert found.low == pytest.approx(1 - 2**0.5 * (1 - wilson), abs=1e-6)
    assert found.high == pytest.approx(1.0)
    assert paired(ones, none).low is None


def test_rates_are_never_further_apart_than_1_and_returns_as_far_as_they_like():
    """Mean difference 0.8, standard error 0.2, 4 degrees of freedom; t(0.975, 4) = 2.77645."""
    ours, theirs = np.ones(5), np.array([1.0, 0, 0, 0, 0])
    half = 2.77645 * 0.2
    found = paired(ours, theirs, rate=True)
    assert (found.low, found.high) == (pytest.approx(0.8 - half, abs=1e-5), 1.0)
    assert paired(theirs, ours, rate=True).low == -1.0
    assert paired(ours, theirs).high == pytest.approx(0.8 + half, abs=1e-5)


def test_what_is_counted_is_called_by_its_name():
    """Rounds of a clock are no seeds, in the words of what was found and of its control."""
    assert words(between(0.1, 0.2), 'round') == '0.15 [0.1, 0.2] (5 rounds, t-interval)'
    told = Check((1,), 'it is above zero', between(1, 2), 0.0, control=exact(0), without='it', unit='round').to_json()
    assert told['found']['words'] == '1.5 [1, 2] (5 rounds, t-interval)'
    timed = Check(
        (1,), 'it is above zero', exact(1), 0.0, control=between(-2, -1), without='it', unit='round'
    ).to_json()
    assert timed['control']['words'] == '-1.5 [-2, -1] (5 rounds, t-interval)'


def test_words_have_the_digits_that_matter():
    assert words(exact(0.00123456)) == '0.001235 (exact)'
    assert words(interval([1.0])) == '1 (1 seed, no interval from one seed)'
    assert words(between(0.1, 0.2)) == '0.15 [0.1, 0.2] (5 seeds, t-interval)'


def test_the_record_is_strict_json_and_holds_everything():
    story = 'The claim.\n\nPrediction. Above zero.'
    told = record('name', story, (1,), claim(check(exact(1), exact(-1))), 1.26, 2.0)
    again = json.loads(json.dumps(told, allow_nan=False))
    assert again['verdict'] == 'holds'
    assert again['title'], again['prediction'] == ('The claim.', 'Prediction. Above zero.')
    assert again['command'] == 'stitch claims run name'
    assert (again['seconds'], again['cpu_seconds']) == (1.3, 2.0)
    assert again['checks'][0]['predicted'] == {'above': 0.0}
    assert again['checks'][0]['found']['mean'] == 1
    assert again['checks'][0]['control']['verdict'] == 'does not hold'
    assert {'python', 'packages', 'machine'} <= again['system'].keys()


def test_a_record_covers_what_it_names():
    with pytest.raises(UsageError, match=r'names statements \(1, 2\) but checks \(1,\)'):
        record('name', 'A.', (1, 2), claim(check(exact(1), exact(-1))), 1.0, 1.0)
