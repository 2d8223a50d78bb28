"""`stitch claims`: the course's statements, each put to the test by an experiment that can fail."""

import argparse
import ast
import json
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from stitchrl.errors import UsageError, meant

SHIPPED = Path(__file__).parents[1] / 'claims'  # where a wheel has them
CLONED = Path(__file__).parents[2] / 'claims'  # where they lie in a clone, beside the package
IMAGES = Path('docs/images/claims')


def main(argv: list[str]) -> int:
    """Run the verb. A claim that does not hold is a finding, and no failed run: the exit code stays 0."""
    parser = argparse.ArgumentParser('stitch claims', description=__doc__, epilog='example: stitch claims run lottery')
    verbs = parser.add_subparsers(dest='verb', required=True)
    verb = verbs.add_parser('list', help='what there is', epilog='example: stitch claims list')
    verb.add_argument('--json', action='store_true', help='as JSON')
    verb = verbs.add_parser('run', help='run experiments', epilog='example: stitch claims run lottery')
    verb.add_argument('names', metavar='NAME', nargs='*', help='which; see `stitch claims list`')
    verb.add_argument('--all', action='store_true', help='every one, at most 3 minutes each')
    verb.add_argument('--out', default='runs/claims', help='folder for NAME.json, NAME.png and claims.html')
    verb.add_argument('--record', action='store_true', help='in a clone: also renew claims/results and docs/claims.md')
    args = parser.parse_args(argv)
    return show(args.json) if args.verb == 'list' else run(args)


def folder() -> Path:
    """Where the experiments are. UsageError where the package came without."""
    for path in (SHIPPED, CLONED):
        if (path / 'closed_form.py').is_file():
            return path
    raise UsageError(f'no experiments in {SHIPPED} or {CLONED}; install from a clone: pip install -e .')


def stories() -> dict[str, tuple[tuple[int, ...], str]]:
    """{name: (statements, docstring)} of every experiment, read without running any."""
    found = {}
    for path in sorted(folder().glob('*.py')):
        tree = ast.parse(path.read_text('utf-8'))
        covers = [ast.literal_eval(node.value) for node in tree.body if isinstance(node, ast.Assign) and names_it(node)]
        found[path.stem] = (tuple(covers[0]), ast.get_docstring(tree) or '')
    return found


def names_it(node: ast.Assign) -> bool:
    """Is this `STATEMENTS = ...`?"""
    return isinstance(node.targets[0], ast.Name) and node.targets[0].id == 'STATEMENTS'


def show(as_json: bool) -> int:
    """Names, statements and first lines."""
    found = stories()
    if as_json:
        told = {
            name: {'statements': numbers, 'title': story.partition('\n')[0]} for name, (numbers, story) in found.items()
        }
        print(json.dumps(told, indent=1))
        return 0
    for name, (numbers, story) in found.items():
        print(f'{name:22s} {", ".join(map(str, numbers)):16s} {story.partition(chr(10))[0]}')
    return 0


def run(args: argparse.Namespace) -> int:
    """Run the experiments that were named, one after another, and write the page of all that lie in the folder."""
    from stitchrl.cli.device import prepare
    from stitchrl.report import gallery

    names = chosen(args.names, args.all)
    prepare()
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        print(f'{name}: running', flush=True)
        told, picture = perform(name)
        save(told, picture, out, out)
        if args.record:
            save(told, picture, CLONED / 'results', CLONED.parent / IMAGES)
        tell(told)
    page = gallery.page(gallery.read(out), out / 'claims.html', out)
    if args.record:
        gallery.markdown(gallery.read(CLONED / 'results'), CLONED.parent / 'docs' / 'claims.md')
    print(f'page: {page}')
    return 0


def chosen(names: list[str], every: bool) -> list[str]:
    """The experiments meant. UsageError for none and for unknown ones."""
    known = list(stories())
    if every == bool(names):
        raise UsageError(f'name experiments, or ask for --all; known: {", ".join(known)}')
    for name in names:
        if name not in known:
            raise UsageError(f'no experiment {name!r}{meant(name, known)}')
    return names or known


def load(name: str) -> Any:
    """An experiment as a module."""
    import sys

    spec = spec_from_file_location(f'stitchrl_claim_{name}', folder() / f'{name}.py')
    assert spec is not None  # a .py file has both
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def perform(name: str) -> tuple[dict[str, Any], bytes]:
    """Run one experiment: (what came out, its figure). Its programs are forgotten: those of a dozen experiments are
    more than a process may map into memory."""
    import jax

    from stitchrl.report.claim import record

    began, used = time.monotonic(), time.process_time()
    module = load(name)
    claim = module.run()
    jax.clear_caches()
    spent = time.monotonic() - began, time.process_time() - used
    return record(name, module.__doc__, module.STATEMENTS, claim, *spent), claim.figure


def save(told: dict[str, Any], picture: bytes, results: Path, images: Path) -> None:
    """NAME.json in one folder, NAME.png in the other."""
    for path in (results, images):
        path.mkdir(parents=True, exist_ok=True)
    (results / f'{told["name"]}.json').write_text(json.dumps(told, indent=1, allow_nan=False) + '\n')
    (images / told['figure']).write_bytes(picture)


def tell(told: dict[str, Any]) -> None:
    """The outcome in a few lines."""
    print(f'{told["name"]}: {told["verdict"]} ({told["seconds"]:g} s)')
    for check in told['checks']:
        numbers = ', '.join(map(str, check['statements']))
        control = check['control']
        print(f'  {check["verdict"]:13s} {numbers}: {check["prediction"]}')
        print(f'                predicted {check["mark"]}, found {check["found"]["words"]}')
        if control is not None:
            print(f'                control, {control["without"]}: {control["words"]}')
