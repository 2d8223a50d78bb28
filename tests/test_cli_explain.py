"""`stitch explain`: what is printed, and what is said of wrong words."""

import json

import pytest

from stitchrl.algos import ALGORITHMS, algorithm
from stitchrl.cli import VERBS
from stitchrl.cli.explain import main, parse
from stitchrl.errors import UsageError


def test_the_table_and_who_asks(capsys):
    assert main(['td3_bc']) == 0
    told = capsys.readouterr().out
    rows = {line.split()[0]: line.split() for line in told.splitlines()[:5] if line}
    assert rows['loss'] == ['loss', 'actor', 'critic', 'actor_target', 'critic_target']
    assert rows['actor_loss'][:3] == ['actor_loss', 'learns', 'through']
    assert 'critic_loss asks critic_target through y: into critic/loss\n' in told
    assert 'actor_loss asks critic in the loss itself: into actor/loss, not into actor/distance\n' in told
    assert '(where entropy enters): no loss\n' in told


def test_json_with_settings_of_the_algorithm(capsys):
    assert main(['iql', '--json', '--extract', 'late', '--kind', 'discrete']) == 0
    tree = json.loads(capsys.readouterr().out)
    assert (tree['algo'], tree['actions']) == ('iql', 'discrete')
    assert [loss['name'] for loss in tree['losses']] == ['value_loss', 'critic_loss', 'actor_loss']


@pytest.mark.parametrize('algo', ALGORITHMS)
def test_the_words_of_every_algorithm_are_understood(algo):
    """No setting of an algorithm has the name of one of the verb's own."""
    plain, cfg = parse(
        algo, ['--kind', 'discrete', '--gamma', '0.5'] if hasattr(algorithm(algo).Config, 'gamma') else []
    )
    assert getattr(cfg, 'gamma', 0.5) == 0.5
    assert plain.kind in ('discrete', None)


def test_help_and_the_table_of_verbs(capsys):
    assert main([]) == 0
    assert 'example: stitch explain cql' in capsys.readouterr().out
    assert VERBS['explain'][0] == 'stitchrl.cli.explain'


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        (['iqk'], r'did you mean iql\?'),
        (['--json', 'iql'], 'the algorithm comes first: stitch explain ALGO --json iql'),
        (['iql', '--preset', 'none'], "no preset 'none'"),
        (['iql', '--expectile', '1.5'], '--expectile 1.5: expected a number between 0 and 1'),
        (['td3_bc', '--hidden', '0'], '--hidden 0: expected a whole number from 1 on for each'),
        (['td3_bc', '--kind', 'discrete'], 'td3_bc needs continuous actions'),
        (['alphazero'], 'learns from its own games'),
        (['alphago'], 'equations are in stitchrl.algos.search.alphago'),
    ],
)
def test_wrong_words(argv, words):
    with pytest.raises(UsageError, match=words):
        main(argv)
