"""Code that a configuration names, ``package.module:factory``: which names are called, and which are refused.

A configuration may come from elsewhere. It may name code that makes networks or datasets; it must not become a program
itself.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import sysconfig
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distlandscape.errors import InputError

OWN = "distlandscape"
INSTALLED = ("site-packages", "dist-packages")
FETCHING = ("trust_remote_code", "trust_repo")  # by these, libraries are told to run code that they fetch


@dataclass(frozen=True)
class Kind:
    """What a name has to make.

    Attributes:
        what: the thing, for sentences ("model").
        makes: what a factory of it returns, for sentences ("a module").
        annotation: how a factory writes that down, for sentences ("torch.nn.Module").
        fits: whether a class is one.
        known: functions of installed packages that make one without saying so, as ``package:qualified.name``.
        remedies: what to do where a package is missing, by its name.
    """

    what: str
    makes: str
    annotation: str
    fits: Callable[[type], bool]
    known: tuple[str, ...] = ()
    remedies: Mapping[str, str] = field(default_factory=dict)


def resolve(path: str, kind: Kind, options: Mapping[str, Any]) -> Callable[..., Any]:
    """Import what ``package.module:factory`` or ``package.module:Class.method`` names, to be called with ``options``.

    It has to be a class or function that is defined in that package, which is no part of Python. In a package that was
    installed it has to say that it makes what is wanted: a class of that kind, a class method of one, or a function
    annotated to return one. Of a module that lies elsewhere, where PYTHONPATH says, any class or function will do.

    Raises:
        InputError: it is none of these, or cannot be imported.
    """
    named = f"{kind.what} {_shown(path)}"
    module, _, attribute = path.partition(":")
    package = _top(module)
    mine = f"write a function of yours that returns {kind.makes}, and name that"
    python = f"{named} is a part of Python itself, or a program; {mine}"
    if "__main__" in module or _is_python(package):
        raise InputError(python)
    *owners, factory = _imported(path, module, attribute, kind)
    if not callable(factory):
        raise InputError(f"{named} is not callable; name a function or class that returns {kind.makes}")
    plain = _plain(factory)
    if plain is None or not all(isinstance(owner, type) for owner in owners):
        raise InputError(f"{named} is neither a class nor a function that is defined there; {mine}")
    if any(_is_python(_top(home)) for home in _homes(plain)):
        raise InputError(python)
    place = owners[-1] if owners else plain  # a class may inherit the method
    if _top(place.__module__) != package:
        raise InputError(f"{named} is defined in another package, {_shown(place.__module__)}; name it there, or {mine}")
    guarded = package == OWN or _is_installed(place.__module__)
    if guarded and not _says_so(factory, plain, place, kind):
        raise InputError(
            f"{named} is in an installed package and does not say that it returns {kind.makes}; annotate it"
            f" (-> {kind.annotation}), or {mine}"
        )
    fetching = next((name for name, value in _items(options) if name in FETCHING and value), None)
    if fetching is not None:
        raise InputError(f"options of {named} hold {fetching}, which runs code from elsewhere; remove it, or {mine}")
    result: Callable[..., Any] = factory
    return result


def _imported(path: str, module: str, attribute: str, kind: Kind) -> list[Any]:
    """What each part of a name stands for, behind the module."""
    try:
        found: list[Any] = [importlib.import_module(module)]
        for name in attribute.split("."):
            found.append(getattr(found[-1], name))
    except (Exception, SystemExit) as error:  # whatever the user's module does when it is imported
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder="…")
        remedy = "give package.module:factory of a module that is installed, or whose folder PYTHONPATH names"
        if isinstance(error, ModuleNotFoundError):
            remedy = kind.remedies.get(str(error.name), remedy)
        raise InputError(f"cannot import {kind.what} {_shown(path)} ({reason}); {remedy}") from error
    return found[1:]


def _plain(factory: Any) -> type | types.FunctionType | None:
    """The class or function behind partial arguments, decorators and class methods; None: there is none."""
    for _ in range(100):
        if isinstance(factory, functools.partial):
            factory = factory.func
        elif isinstance(factory, types.MethodType) and isinstance(factory.__self__, type):
            factory = factory.__func__
        elif hasattr(factory, "__wrapped__"):
            factory = factory.__wrapped__
        else:
            break
    return factory if isinstance(factory, (type, types.FunctionType)) else None


def _homes(plain: type | types.FunctionType) -> list[str]:
    """The modules something is defined in: what it says, and for a function the one whose names it sees."""
    says = str(plain.__module__)
    return [says, str(plain.__globals__.get("__name__", says))] if isinstance(plain, types.FunctionType) else [says]


def _top(module: str) -> str:
    return module.partition(".")[0]


def _is_python(package: str) -> bool:
    """Whether a package comes with Python; one that is not imported yet is looked for only."""
    if package in sys.stdlib_module_names or package in sys.builtin_module_names:
        return True
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a name that is none, or one without a place
        return False
    if spec is None:
        return False
    places = [spec.origin] if spec.origin is not None else list(spec.submodule_search_locations or ())
    return any(_lies_in_python(Path(place)) for place in places)


def _lies_in_python(place: Path) -> bool:
    """Such as ``test``, which is not among the names that Python gives for its library."""
    library = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    place = place.resolve()
    return not set(INSTALLED) & set(place.parts) and any(place.is_relative_to(folder) for folder in library)


def _is_installed(module: str) -> bool:
    """Whether a module was put there by a package manager; one that lies nowhere counts as such."""
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None)
    return file is None or bool(set(INSTALLED) & set(Path(file).parts))


def _says_so(factory: Any, plain: type | types.FunctionType, place: type | types.FunctionType, kind: Kind) -> bool:
    if isinstance(plain, type):
        return kind.fits(plain)
    if isinstance(factory, types.MethodType) and isinstance(place, type) and kind.fits(place):
        return True
    if f"{_top(plain.__module__)}:{plain.__qualname__}" in kind.known:
        return True
    try:
        returned = typing.get_type_hints(plain).get("return")
    except Exception:  # names in quotes that mean nothing
        return False
    parts = typing.get_args(returned) if isinstance(returned, types.UnionType) else (returned,)
    classes = [typing.get_origin(part) or part for part in parts]
    return any(isinstance(part, type) and kind.fits(part) for part in classes)


def _items(options: Any) -> Iterator[tuple[str, Any]]:
    """Every name in options with its value, at any depth."""
    if isinstance(options, Mapping):
        yield from options.items()
    for value in options.values() if isinstance(options, Mapping) else options if isinstance(options, list) else ():
        yield from _items(value)


def _shown(name: str) -> str:
    """A name in quotes, without control characters, not too long."""
    return repr(name) if len(name) <= 120 else f"{name[:120]!r}…"
