"""What all verbs of `stitch` have in common."""

from contextlib import suppress

import pytest

from stitchrl.cli import VERBS, main


@pytest.mark.parametrize('verb', VERBS)
def test_the_help_of_every_verb_has_an_example_to_copy(verb, capsys):
    with suppress(SystemExit):  # argparse leaves by it
        main([verb, '--help'])
    said = ' '.join(capsys.readouterr().out.split())
    assert f'example: stitch {verb}' in said or f'examples: stitch {verb}' in said
