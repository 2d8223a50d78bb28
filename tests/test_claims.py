import json

import pytest

from stitchrl.cli import claims, main
from stitchrl.report.claim import record

PLANTED = '''"""A planted claim that is false.

Prediction. Minus one is above zero; minus two is the control.
"""
from stitchrl.report import canvas
from stitchrl.report.claim import Check, Claim, exact

STATEMENTS = (5, 3)


def run():
    checks = [Check((n,), f'{n} | is', exact(-1), above=0.0, control=exact(-2), without='less') for n in (3, 5)]
    return Claim(checks, canvas.png(canvas.blank(2, 1), None), 'A caption.', 'An empty figure.', ('A note.',))
'''


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A clone with one experiment, whose claim is false."""
    folder = tmp_path / 'clone' / 'claims'
    folder.mkdir(parents=True)
    (folder / 'closed_form.py').write_text(PLANTED)
    monkeypatch.setattr(claims, 'CLONED', folder)
    monkeypatch.chdir(tmp_path)
    return folder.parent


def test_every_experiment_says_what_it_covers_and_predicts():
    found = claims.stories()
    assert {'closed_form', 'lottery', 'conservatism'} <= found.keys()
    for name, (numbers, story) in found.items():
        assert numbers, name
        assert set(numbers) <= set(range(1, 81)), name
        assert '\n\nPrediction. ' in story or '\n\nPrediction.' in story, name
        assert story.partition('\n')[0].endswith('.'), name


def test_list_reads_without_running(capsys):
    assert main(['claims', 'list']) == 0
    assert 'closed_form' in capsys.readouterr().out
    assert main(['claims', 'list', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['closed_form']['statements'] == [12, 75, 78]


def test_a_false_claim_is_a_finding_and_no_failed_run(planted, capsys):
    assert main(['claims', 'run', 'closed_form']) == 0
    assert 'closed_form: does not hold' in capsys.readouterr().out
    told = json.loads((planted.parent / 'runs/claims/closed_form.json').read_text())
    assert told['verdict'] == 'does not hold'
    assert told['title'] == 'A planted claim that is false.'
    assert (planted.parent / 'runs/claims/closed_form.png').read_bytes().startswith(b'\x89PNG')
    html = (planted.parent / 'runs/claims/claims.html').read_text()
    assert '✗ does not hold' in html
    assert 'A note.' in html
    assert not (planted / 'docs').exists()


def test_recording_renews_the_documentation(planted):
    assert main(['claims', 'run', '--all', '--record', '--out', 'elsewhere']) == 0
    assert json.loads((planted / 'claims/results/closed_form.json').read_text())['statements'] == [3, 5]
    assert (planted / 'docs/images/claims/closed_form.png').is_file()
    page = (planted / 'docs/claims.md').read_text()
    assert '| [A planted claim that is false.](#closed-form) | 3, 5 | ✗ does not hold |' in page
    assert '![An empty figure.](images/claims/closed_form.png)' in page
    assert '3 \\| is' in page  # a bar would end the cell


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['closed_from'], "no experiment 'closed_from'; did you mean closed_form?"),
        ([], 'name experiments, or ask for --all'),
        (['closed_form', '--all'], 'name experiments, or ask for --all'),
    ],
)
def test_what_cannot_be_meant_is_answered(planted, capsys, words, told):
    assert main(['claims', 'run', *words]) == 2
    assert told in capsys.readouterr().err


def test_a_package_without_experiments_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims, 'CLONED', tmp_path)
    monkeypatch.setattr(claims, 'SHIPPED', tmp_path)
    assert main(['claims', 'list']) == 2
    assert 'install from a clone' in capsys.readouterr().err


def test_the_recorded_results_belong_to_the_experiments():
    """Title, prediction and statements in claims/results are those of the code, so none was moved after it ran."""
    for path in sorted((claims.CLONED / 'results').glob('*.json')):
        told = json.loads(path.read_text())
        numbers, story = claims.stories()[path.stem]
        assert told['title'] == story.partition('\n')[0], path.name
        assert told['prediction'] == story.partition('\n')[2].strip(), path.name
        assert told['statements'] == sorted(numbers), path.name
        assert told['cpu_seconds'] <= 360, path.name  # three minutes of two cores


def test_recorded_times_are_over_rounds_of_a_clock_and_not_over_seeds():
    records = [json.loads(path.read_text()) for path in (claims.CLONED / 'results').glob('*.json')]
    times = [one for told in records for one in told['checks'] if one['prediction'].startswith('time of')]
    assert len(times) == 2
    for one in times:
        for part in ('found', 'control'):
            assert '(15 timing rounds, ' in one[part]['words']


def test_record_is_what_the_verb_writes(planted):
    told, picture = claims.perform('closed_form')
    module = claims.load('closed_form')
    again = record('closed_form', module.__doc__, module.STATEMENTS, module.run(), told['seconds'], told['cpu_seconds'])
    assert told == again
    assert picture == module.run().figure
