"""The comparison of compositions itself: it accepts what equals Hydra, and catches every way in which it may not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import AnyNode, DictConfig, OmegaConf, open_dict, read_write

from tests.compositions import Raised, Sweep, compare, outcome
from tests.config_trees import Inner, surroundings

FILES = {
    "config.yaml": """
defaults: [{shapes@typed: typed}, {shapes@frozen: frozen}, {model: a}, _self_]
lr: 0.1
n: 3
copied: ${lr}
stamp: ${now:%f}
deep: {er: 1, xs: [1, 2]}
hydra: {sweep: {dir: "out/${now:%S-%f}"}}
""",
    "model/a.yaml": "name: a\n",
    "model/b.yaml": "name: b\n",
}
JOBS = [["lr=1"], ["lr=2", "deep.er=3"], ["nothing=1"], ["typed.i=word"]]


@pytest.fixture(autouse=True, scope="module")
def _surroundings() -> Iterator[None]:
    with surroundings():
        yield


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A small sweep."""
    return Sweep(tmp_path_factory.mktemp("sweep"), FILES)


COMPOSED: dict[tuple[str, ...], Any] = {}


class Faithful:
    """Composes each job with Hydra, once, and hands out copies."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.state: dict[Any, Any] = {}  # for what a mutant remembers between jobs

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        key = tuple(sweep_overrides)
        if key not in COMPOSED:
            try:
                COMPOSED[key] = self.sweep.loader().load_sweep_config(master_config, list(key))
            except Exception as error:
                COMPOSED[key] = error
        if isinstance(COMPOSED[key], Exception):
            raise COMPOSED[key]
        config: DictConfig = copy.deepcopy(COMPOSED[key])
        return config


Mutant = Callable[[Faithful, DictConfig, DictConfig, "list[str]"], Any]
MUTANTS: dict[str, Mutant] = {}


def mutant(function: Mutant) -> Mutant:
    MUTANTS[(function.__doc__ or "").rstrip(".")] = function
    return function


def content(config: Any) -> Any:
    return config.__dict__["_content"]


@mutant
def _leaks(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A value of the job before is still there."""
    if "er" in it.state:
        config.deep.er = it.state["er"]
    it.state["er"] = config.deep.er + 1


@mutant
def _same(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> DictConfig:
    """Equal overrides get the same object."""
    result: DictConfig = it.state.setdefault(tuple(job), config)
    return result


@mutant
def _shared_part(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A container is shared between jobs."""
    content(config)["frozen"] = it.state.setdefault("frozen", content(config)["frozen"])
    content(config)["frozen"]._set_parent(config)


@mutant
def _shared_leaf(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A leaf is shared between jobs."""
    content(config)["n"] = it.state.setdefault("n", content(config)["n"])
    content(config)["n"]._set_parent(config)


@mutant
def _shared_flags(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The flags of a node are shared between jobs."""
    config.deep._metadata.flags = it.state.setdefault("flags", config.deep._metadata.flags)


@mutant
def _shared_cache(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The resolvers' cache is the master's own."""
    config._metadata.resolver_cache = master._metadata.resolver_cache


@mutant
def _no_cache(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The resolvers' cache is not the master's."""
    OmegaConf.clear_cache(config)


@mutant
def _no_struct(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The struct flag is lost."""
    OmegaConf.set_struct(config, None)


@mutant
def _no_readonly(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The readonly flag of a node is lost."""
    OmegaConf.set_readonly(config.frozen, None)


@mutant
def _hydra_flag(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A flag of the hydra node is unset instead of false."""
    OmegaConf.set_readonly(config.hydra, None)


@mutant
def _stale_flags(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """What a node has cached of its flags is not so."""
    config.deep.__dict__["_flags_cache"] = {"struct": False}


@mutant
def _order(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A key has moved to the end."""
    content(config)["lr"] = content(config).pop("lr")


@mutant
def _order_in_hydra(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A key of the hydra node has moved to the end."""
    content(config.hydra)["job"] = content(config.hydra).pop("job")


@mutant
def _node_class(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A typed leaf has become an untyped one."""
    content(config.typed)["i"] = AnyNode(config.typed.i, key="i", parent=config.typed)


@mutant
def _value_type(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """An int has become an equal float."""
    config.n = 3.0


@mutant
def _text_for_value(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """An interpolation has become its value."""
    config.copied = config.lr


@mutant
def _object_type(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A structured node has become a dict."""
    content(config.typed)["inner"]._metadata.object_type = dict


@mutant
def _ref_type(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A node admits other types."""
    content(config.typed)["inner"]._metadata.ref_type = Any


@mutant
def _optional(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A node admits null."""
    content(config.typed)["i"]._metadata.optional = True


@mutant
def _element_type(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The items of a list admit other types."""
    content(config.typed)["li"]._metadata.element_type = Any


@mutant
def _key(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A node does not know its key."""
    content(config)["lr"]._metadata.key = "rate"


@mutant
def _parent(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A node's parent is another config's."""
    content(config.deep)["er"].__dict__["_parent"] = copy.deepcopy(config.deep)


@mutant
def _twice(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """Two places hold one node's description."""
    content(config.typed)["f"]._metadata.flags = content(config.typed)["i"]._metadata.flags


@mutant
def _class(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> DictConfig:
    """The result is of a class of its own."""
    return type("Config", (DictConfig,), {})(config)


@mutant
def _attribute(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A node carries something extra."""
    config.deep.__dict__["_note"] = 1


@mutant
def _task_overrides(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The job's overrides are not listed."""
    content(config.hydra.overrides)["task"] = OmegaConf.create([], parent=config.hydra.overrides)


@mutant
def _dirname(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The directory's name is not made of the job's overrides."""
    config.hydra.job.override_dirname = "none"


@mutant
def _choices(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A group's choice is missing."""
    with open_dict(config.hydra), read_write(config.hydra):
        del config.hydra.runtime.choices["model"]


@mutant
def _swapped_schema(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A null of a structured type has become its default."""
    config.typed.oinner = Inner()


@mutant
def _master(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The master config is changed."""
    if "spared" in it.state:  # the first time, it could be the state in which it always was
        OmegaConf.set_struct(master.deep, bool(len(it.state) % 2))
    it.state["spared", len(it.state)] = it.state["spared"] = True


@mutant
def _callers_list(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """The caller's list of overrides is changed."""
    job.append("lr=5")


@mutant
def _raises(it: Faithful, config: DictConfig, master: DictConfig, job: list[str]) -> None:
    """A job that composes raises."""
    raise ConfigCompositionException("no")


class Mutated(Faithful):
    """Composes as Hydra does, but for one thing."""

    def __init__(self, sweep: Sweep, change: Mutant) -> None:
        super().__init__(sweep)
        self.change = change

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        config = super().load_sweep_config(master_config, sweep_overrides)
        changed: DictConfig | None = self.change(self, config, master_config, sweep_overrides)
        return config if changed is None else changed


def test_comparison_equal_composer_no_difference(sweep: Sweep) -> None:
    """A composer that copies what Hydra composed shows no difference."""
    assert compare(sweep, Faithful(sweep), JOBS) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_comparison_catches_mutated_config(sweep: Sweep, name: str) -> None:
    """A composer that errs in one thing is caught."""
    pristine = copy.deepcopy(sweep.master)
    try:
        assert compare(sweep, Mutated(sweep, MUTANTS[name]), JOBS[:2], repeated=1)
    finally:
        sweep.master = pristine


def other_type(error: Exception) -> Exception:
    return ValueError(str(error)).with_traceback(error.__traceback__)


def other_text(error: Exception) -> Exception:
    changed = type(error)(str(error) + ".")
    changed.__cause__ = error.__cause__
    return changed


def no_cause(error: Exception) -> Exception:
    changed = copy.copy(error)
    changed.__cause__ = None
    return changed


def other_cause(error: Exception) -> Exception:
    changed = copy.copy(error)
    changed.__cause__ = KeyError("another")
    return changed


class Erring(Faithful):
    """Raises something else than Hydra."""

    def __init__(self, sweep: Sweep, change: Callable[[Exception], Exception] | None) -> None:
        super().__init__(sweep)
        self.change = change

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        try:
            return super().load_sweep_config(master_config, sweep_overrides)
        except Exception as error:
            if self.change is None:
                return super().load_sweep_config(master_config, [])
            raise self.change(error) from self.change(error).__cause__


@pytest.mark.parametrize("change", [other_type, other_text, no_cause, other_cause, None])
@pytest.mark.parametrize("job", JOBS[2:])
def test_comparison_catches_mutated_error(
    sweep: Sweep, change: Callable[[Exception], Exception] | None, job: Sequence[str]
) -> None:
    """An error of another type, text or cause is caught, and so is none at all."""
    assert compare(sweep, Erring(sweep, change), [job], repeated=0)


def test_comparison_catches_late_composition(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """A config that reads the working directory only when it is looked at is caught."""

    class Late(DictConfig):
        def __getattribute__(self, name: str) -> Any:
            if name == "__dict__" and type(self) is Late:
                object.__setattr__(self, "__class__", DictConfig)
                object.__getattribute__(self, "__dict__").update(it.compose().__dict__)
            return object.__getattribute__(self, name)

    class it:
        @staticmethod
        def compose() -> DictConfig:
            return sweep.loader().load_sweep_config(sweep.master, JOBS[0])

        @staticmethod
        def load_sweep_config(master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
            late: DictConfig = Late.__new__(Late)
            return late

    assert any("'cwd'" in difference for difference in compare(sweep, it, [JOBS[0]], ("nothing",), repeated=0))


def test_raised_outcome_has_whole_chain() -> None:
    """An error as a value has the types and messages of all its causes."""

    def fail() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    found = outcome(fail)
    assert isinstance(found, Raised)
    assert [link[:2] for link in found.chain] == [(ValueError, "outer"), (KeyError, "'inner'")]


@pytest.mark.parametrize("tail", ["", " in comparison", " in __instancecheck__", " while calling a Python object"])
def test_raised_end_of_the_stack_equals_any_other(tail: str) -> None:
    """Where the stack ended is no part of an error: Hydra's own differs by how deep the caller was."""
    wanted = Raised.of(RecursionError("maximum recursion depth exceeded: a\n    full_key: b"))
    assert Raised.of(RecursionError(f"maximum recursion depth exceeded{tail}: a\n    full_key: b")) == wanted
    assert Raised.of(RecursionError(f"maximum recursion depth exceeded{tail}: c\n    full_key: b")) != wanted
