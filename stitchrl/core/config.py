"""Configs to JSON and back, through one door: lists become tuples, unknown keys are errors. Imports no JAX."""

from dataclasses import asdict, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from stitchrl.errors import UsageError, meant

T = TypeVar('T')


def to_json(config: Any) -> dict[str, Any]:
    """A frozen dataclass as a dict of JSON values."""
    return asdict(config)


def from_json(cls: type[T], tree: dict[str, Any]) -> T:
    """The dataclass with these fields, the others at their defaults.

    Raises UsageError for a name that is no field (with the nearest one) and for a value of another type.
    """
    names, hints = [field.name for field in fields(cls)], get_type_hints(cls)  # type: ignore[arg-type]
    values = {}
    for name, value in tree.items():
        if name not in names:
            raise unknown(name, names, f'{cls.__module__.rsplit(".", 1)[-1]}.{cls.__name__}')
        value = tuple(value) if isinstance(value, list) else value
        if not fits(value, hints[name]):
            raise UsageError(f'setting {name} is {value!r}; expected {describe(hints[name])}')
        values[name] = float(value) if hints[name] is float and isinstance(value, int) else value
    return cls(**values)


def unknown(name: str, names: list[str], where: str) -> UsageError:
    """The error for a name that is no setting, with the nearest one that is, or all of them."""
    return UsageError(f'no setting {name!r} in {where}{meant(name, names)}')


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a field's type: scalars, tuples of one type, literals and unions of these."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(item, args[0]) for item in value)
    if origin is None:
        return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    if str(origin).endswith('Literal'):
        return value in args
    return any(value is None if arg is type(None) else fits(value, arg) for arg in args)


def describe(hint: Any) -> str:
    """A type for people."""
    if str(get_origin(hint)).endswith('Literal'):
        return 'one of ' + ', '.join(repr(arg) for arg in get_args(hint))
    return getattr(hint, '__name__', str(hint)) if get_origin(hint) is None else str(hint)
