"""What is known of the standard library and of installed distributions, by names: their source is not looked at."""

from __future__ import annotations

import re
import sys
from typing import Final

ACTING_BUILTINS: Final = frozenset(
    {"setattr", "delattr", "exec", "eval", "compile", "__import__", "input", "breakpoint"}
)
# Builtins that do not call what they are given.
INCURIOUS: Final = frozenset(
    [
        "callable",
        "classmethod",
        "dict",
        "dir",
        "frozenset",
        "getattr",
        "hasattr",
        "id",
        "isinstance",
        "issubclass",
        "list",
        "object",
        "print",
        "property",
        "repr",
        "set",
        "staticmethod",
        "str",
        "super",
        "tuple",
        "type",
        "vars",
    ]
)
# Those of them that call no special method either. What reading an attribute does is not looked at.
UNMOVED: Final = frozenset(
    [
        *("callable", "classmethod", "getattr", "hasattr", "id", "isinstance", "issubclass", "object", "property"),
        *("staticmethod", "super", "type", "vars"),
    ]
)
# Methods of containers that take what they are given as it is.
KEEPING: Final = frozenset(
    [
        *("append", "appendleft", "add", "insert", "setdefault", "remove", "discard", "index", "count", "pop"),
        *("popleft", "clear", "copy", "get", "keys", "values", "items", "reverse"),
    ]
)
# Methods of containers that hand back what these hold.
HANDING_OUT: Final = frozenset({"get", "pop", "popleft", "popitem", "setdefault", "values", "items"})
CONTAINERS: Final = frozenset({"list", "dict", "set", "bytearray", "object", "type", "super"})
ACTING_NAMES: Final = re.compile(
    r"(?i)(?:^|\.)(?:\w*register\w*|\w*seed\w*|\w*(?<!singledis)patch\w*|set_?\w*|use|install|enable\w*|disable\w*|instantiate|"
    r"configure\w*|basicconfig|load_dotenv|putenv|unsetenv|shuffle|rand\w*|choices?|normal|uniform|sample|permutation|add_\w+|"
    r"append\w*|insert|hook\w*|on_\w+|update|environ\.pop|hydra\.utils\.call)$|(?:^|\.)random\.|^runpy\."
)
# Known not to call what they are given: they keep it, or take note of it.
KEEPERS: Final = re.compile(
    r"^(?:functools\.(?:partial|partialmethod|wraps|lru_cache|cache|cached_property|singledispatch(?:method)?|total_ordering)"
    r"|operator\.(?:itemgetter|attrgetter|methodcaller)|re\.(?!subn?$).*|hydra\.(?!(?:.*\.)?(?:instantiate|call)$).*"
    r"|(?:typing|typing_extensions|dataclasses|collections|enum|abc|types|contextlib|logging|weakref|omegaconf|copy)\..*)$"
)
# Those of them that walk over what they are given, or ask it for something.
WALKERS: Final = re.compile(r"^(?:collections|copy)\.")
# What these return, or are, others hold as well.
_SHARED: Final = re.compile(
    r"(?i)(?:^|\.|_)(?:get\w*|current\w*|instance|default|shared|global|root|environ\w*|import\w*|locate|resolve\w*"
    r"|reload|lookup\w*|modules|load_module|instantiate)$"
)
_HARMLESS_SHARED: Final = re.compile(r"^(?:logging\.getLogger|typing\..*|typing_extensions\..*|collections\.abc\..*)$")
# Distributions whose functions make what they return, and whose classes tell nobody of those made of them.
_WELL_KNOWN: Final = frozenset(
    [
        *("numpy", "scipy", "pandas", "sklearn", "torch", "torchvision", "torchaudio", "torchmetrics", "lightning"),
        *("pytorch_lightning", "lightning_fabric", "gymnasium", "gym", "stable_baselines3", "transformers", "datasets"),
        *("tokenizers", "tensorflow", "keras", "flax", "jax", "optax", "equinox", "haiku", "omegaconf", "hydra"),
        *("pydantic", "attr", "attrs", "typing_extensions", "matplotlib", "seaborn", "networkx", "torch_geometric"),
        *("gpytorch", "botorch", "pyro", "xgboost", "lightgbm", "catboost", "optuna", "skorch", "statsmodels"),
        *("monai", "timm", "einops", "polars", "tqdm", "numba", "sympy", "PIL", "cv2", "skimage", "ignite", "joblib"),
    ]
)
# Base classes that call no method of what is made of them when that is made.
_QUIET_BASES: Final = re.compile(
    r"^(?:typing|typing_extensions|abc|enum|collections\.abc|torch\.nn|torch\.utils\.data|sklearn\.base|numbers"
    r"|pytorch_lightning|lightning)\."
)
_OPERATORS_IN_PLACE: Final = re.compile(
    r"^_?operator\.(?:setitem|delitem|call|i(?!temgetter$|s_|ndexOf$|ndex$|nv$|nvert$)\w*)$"
)
_CLASS_MAKERS: Final = re.compile(r"(?:^|\.)(?:new_class|make_dataclass|make_class|create_model|type|\w*Meta|\w*Type)$")
# Whoever walks over what these return leaves less to the next.
_ITERATORS: Final = re.compile(r"^(?:itertools|csv)\.|(?:^|\.)(?:\w*iter\w*|\w*open|\w*reader|scandir)$")
_BUILTIN_ITERATORS: Final = frozenset({"iter", "map", "filter", "zip", "enumerate", "reversed", "open"})


def makes_iterators(name: str, *, is_builtin: bool) -> bool:
    """Tell whether what a function returns may be used up by walking over it."""
    return name in _BUILTIN_ITERATORS if is_builtin else _ITERATORS.search(name) is not None


def is_well_known(name: str) -> bool:
    """Tell whether a dotted name is the standard library's or a well-known distribution's."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top in _WELL_KNOWN


def makes_its_own(name: str, *, is_called: bool) -> bool:
    """Tell whether what is got by a name of other people's code is an object that nobody else holds."""
    if _HARMLESS_SHARED.match(name):
        return True
    if not is_called or _SHARED.search(name):
        return False
    # What is no class may keep what it makes, and hand it to whoever asks by the same name.
    return name.rpartition(".")[2].lstrip("_")[:1].isupper() or is_well_known(name)


def is_quiet_base(name: str) -> bool:
    """Tell whether a class calls no method of its subclasses when these are made."""
    return _QUIET_BASES.match(name) is not None


def makes_classes(name: str) -> bool:
    """Tell whether a function may make a class out of those that it is given."""
    return _CLASS_MAKERS.search(name) is not None


def changes_in_place(name: str) -> bool:
    """Tell whether a function is one of ``operator`` that changes or calls what it is given."""
    return _OPERATORS_IN_PLACE.match(name) is not None
