"""Composing fast equals composing with Hydra: on hand-written overrides, one rule each, and on drawn projects."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from parcache.hydra import composer as composer_module
from parcache.hydra.composer import SweepComposer
from tests.compositions import COPIED_VARIABLE, QUIET_TOUCHES, TOUCHES, Sweep, compare, outcome
from tests.config_trees import Tree, places, surroundings, sweeps, trees
from tests.conftest import COMPARED

# Compared override lists in all; `make fuzz` asks for more.
EXAMPLES = int(os.environ.get("PARCACHE_FUZZ_EXAMPLES", "120"))
FUZZING = "PARCACHE_FUZZ_EXAMPLES" in os.environ
JOBS = 8 if FUZZING else 4
SHARDS = 16 if FUZZING else 4


@pytest.fixture(autouse=True, scope="module")
def _surroundings() -> Iterator[None]:
    with surroundings():
        yield


RICH = {
    "config.yaml": f"""
defaults:
  - shapes@typed: typed
  - shapes@frozen: frozen
  - shapes@sealed: sealed
  - model: small
  - opt: sgd
  - db@store.db: mysql
  - optional nothing: x
  - _self_
  - extra: null
  - override hydra/job_logging: disabled
lr: 0.1
n: 3
flag: true
nothing_there: null
missing: ???
word: hello
text: "a, b: {{c}} 'd'"
ключ: значение
d-e: 1
"1": one
Up: {{Low: 1}}
xs: [1, 2, 3]
ds: [{{a: 1}}, {{a: 2, b: [x, y]}}]
deep: {{er: {{est: {{value: 1, same: "${{.value}}", up: "${{...top}}"}}}}, top: t}}
twice: ${{double:${{lr}}}}
where: deep
through: ${{${{where}}.top}}
whole: ${{deep.er}}
joined: run_${{lr}}_${{model.name}}
keys: ${{oc.dict.keys:model}}
variable: ${{oc.env:PARCACHE_TEST_A}}
decoded: ${{oc.decode:${{oc.env:PARCACHE_TEST_N}}}}
stamp: ${{now:%H-%M-%S-%f}}
serial: ${{serial:}}
dirname: ${{hydra:job.override_dirname}}
choice: ${{hydra:runtime.choices.model}}
broken: ${{no.such.key}}
typed: {{i: 2, inner: {{name: "${{word}}"}}}}
hydra:
  searchpath: ["file://$FOLDER/more"]
  job:
    name: rich_${{lr}}
    env_set: {{ONE: "1", LR: "${{lr}}"}}
    env_copy: [{COPIED_VARIABLE}]
    config: {{override_dirname: {{exclude_keys: [n]}}}}
  sweep: {{dir: "out/${{now:%H-%M-%S-%f}}", subdir: "${{hydra.job.override_dirname}}"}}
""",
    "model/small.yaml": "name: small\nwidth: 8\nlr: ${lr}\nlayers: [{w: 1}, {w: 2}]\n",
    "model/big.yaml": "defaults: [small, _self_]\nname: big\ndepth: 3\n",
    "model/global.yaml": "# @package _global_\nlr: 0.5\nmodel: {name: global}\nfresh: 1\n",
    "model/nested.yaml": "defaults:\n  - _self_\n  - /opt@inner: adam\n  - /db@_global_.second: pg\nname: nested\n",
    "model/broken.yaml": "defaults:\n  - /nothing: x\nname: broken\n",
    "model/clash.yaml": "# @package _global_\ntyped: {i: word}\n",
    "opt/sgd.yaml": "defaults:\n  - sched: step\n  - _self_\nlr: ${..lr}\nname: sgd\n",
    "opt/adam.yaml": "defaults:\n  - _self_\n  - sched: cosine\nbetas: [0.9, 0.99]\nname: adam\n",
    "opt/sched/step.yaml": "every: 10\nname: step\n",
    "opt/sched/cosine.yaml": "# @package _group_.sub\nwarm: ${lr}\n",
    "db/mysql.yaml": "defaults: [base_db]\ndriver: mysql\nport: 3306\n",
    "db/pg.yaml": "defaults: [base_db, _self_]\ndriver: pg\n",
    "extra/one.yaml": "defaults:\n  - override /model: big\nx: 1\n",
    "more/model/found.yaml": "name: found\n",
}

RULES: dict[str, list[str]] = {
    "nothing": [],
    "float": ["lr=0.5"],
    "float in exponent form": ["lr=1e-3"],
    "int for a float": ["lr=1"],
    "infinity": ["lr=inf"],
    "minus infinity": ["lr=-inf"],
    "nan": ["lr=nan"],
    "int with underscores": ["n=1_000"],
    "int beyond 64 bits": ["n=100000000000000000000"],
    "str for an int without a type": ["n=many"],
    "bool": ["flag=false"],
    "bool in capitals": ["flag=TRUE"],
    "bool as a word": ["flag=yes"],
    "null": ["lr=null"],
    "null in capitals": ["lr=NULL"],
    "null quoted": ["lr='null'"],
    "null for a container": ["deep=null"],
    "value for null": ["nothing_there=1"],
    "value for missing": ["missing=1"],
    "missing for a value": ["lr=???"],
    "missing for a container": ["deep=???"],
    "missing quoted": ["lr='???'"],
    "empty": ["word="],
    "empty quoted": ["word=''"],
    "quoted number": ["n='3'"],
    "double quotes": ['word="a b"'],
    "quote escaped": ["word='it\\'s'"],
    "backslash at the end": ["word='a\\\\'"],
    "space escaped": ["word=a\\ b"],
    "comma escaped": ["word=a\\,b"],
    "comma quoted": ["word='a,b'"],
    "spaces inside": ["word=a b c"],
    "spaces around": ["word=  a  "],
    "colon": ["word=a:b"],
    "equals sign": ["word=a=b"],
    "unicode value": ["word=ключ"],
    "unicode quoted": ["word='日 本'"],
    "unicode key": ["ключ=1"],
    "key with a dash": ["d-e=2"],
    "key of digits": ["1=two"],
    "key in other case": ["up.Low=1"],
    "key in its own case": ["Up.Low=2"],
    "newline": ["word='a\nb'"],
    "date": ["word=2020-01-01"],
    "cast": ["n=int(3.2)"],
    "cast to str": ["n=str(3)"],
    "cast of a list": ["xs=str([1,2])"],
    "cast that fails": ["n=int(x)"],
    "interpolation": ["lr=${n}"],
    "interpolation in text": ["word=x_${n}_y"],
    "interpolation relative": ["deep.er.est.value=${.same}"],
    "interpolation to itself": ["lr=${lr}"],
    "interpolation to nowhere": ["lr=${no.where}"],
    "interpolation unclosed": ["lr=${n"],
    "interpolation escaped": ["word='\\${lr}'"],
    "interpolation to hydra": ["word=${hydra:job.name}"],
    "interpolation to a container": ["word=${deep.er}"],
    "resolver": ["lr='${double:${n}}'"],
    "resolver not quoted": ["lr=${double:${n}}"],
    "resolver that fails": ["lr=${fail:}"],
    "resolver of choice": ["lr=${oc.env:PARCACHE_TEST_NONE,1}"],
    "interpolation nested": ["lr='${${where}}'"],
    "resolver unknown": ["lr=${nothing:1}"],
    "resolver with a cache": ["word=${now:%Y}"],
    "interpolated container replaced": ["whole=1"],
    "key below an interpolated container": ["whole.est.value=2"],
    "list": ["xs=[4,5]"],
    "list empty": ["xs=[]"],
    "list nested": ["xs=[[1],[2,[3]],{a:1}]"],
    "list with interpolation": ["xs=[${n},${lr}]"],
    "list for a scalar": ["lr=[1,2]"],
    "scalar for a list": ["xs=1"],
    "list element": ["xs.0=7"],
    "list element in brackets": ["xs[0]=7"],
    "list element from the end": ["xs.-1=7"],
    "list element out of range": ["xs.9=7"],
    "list element not a number": ["xs.a=7"],
    "key in a list element": ["ds.1.a=5"],
    "unknown key in a list element": ["ds.1.c=5"],
    "dict merged": ["deep={er:{est:{value:2}}}"],
    "dict with a new key": ["deep={new:1}"],
    "dict for a scalar": ["lr={a:1}"],
    "dict empty": ["deep={}"],
    "dict in a list": ["ds=[{a:9}]"],
    "scalar for a dict": ["deep=1"],
    "deep key": ["deep.er.est.value=2"],
    "two keys": ["lr=0.2", "n=4"],
    "two keys, other order": ["n=4", "lr=0.2"],
    "same key twice": ["lr=0.2", "lr=0.3"],
    "container, then its key": ["deep.er.est={value:5}", "deep.er.est.value=6"],
    "key, then its container": ["deep.er.est.value=6", "deep.er.est={value:5}"],
    "container removed, then its key": ["deep=null", "deep.top=1"],
    "list, then its element": ["xs=[9,8]", "xs.1=7"],
    "unknown key": ["nothing=1"],
    "unknown key below": ["deep.nothing=1"],
    "key below a scalar": ["lr.x=1"],
    "add": ["+new=1"],
    "add below": ["+deep.new.er=1"],
    "add what is there": ["+lr=1"],
    "add to a list": ["+xs=[4]"],
    "add, then change": ["+new=1", "new=2"],
    "change before add": ["new=2", "+new=1"],
    "force": ["++lr=1"],
    "force new": ["++new=1"],
    "force dict": ["++deep={a:1}"],
    "delete": ["~word"],
    "delete with value": ["~word=hello"],
    "delete with another value": ["~word=bye"],
    "delete unknown": ["~nothing"],
    "delete below": ["~deep.er.est"],
    "delete, then add": ["~word", "+word=back"],
    "delete what is interpolated": ["~where"],
    "group": ["model=big"],
    "group and its value": ["model=big", "model.depth=7"],
    "value, then its group": ["model.name=x", "model=big"],
    "value of another choice": ["model.depth=7"],
    "group for all": ["model=global"],
    "group for all and value": ["model=global", "lr=3"],
    "group for all and its new key": ["model=global", "fresh=3"],
    "group with nested defaults": ["model=nested"],
    "group below a nested one": ["model=nested", "opt@model.inner=sgd"],
    "group in the search path": ["model=found"],
    "group unknown option": ["model=missing"],
    "group option that does not compose": ["model=broken"],
    "group option of a wrong type": ["model=clash"],
    "group null": ["model=null"],
    "group deleted": ["~model"],
    "group deleted with option": ["~model=small"],
    "group deleted with another option": ["~model=big"],
    "group twice": ["model=big", "model=small"],
    "group added": ["+db=pg"],
    "group added though there": ["+model=big"],
    "group forced": ["++model=big"],
    "group nested": ["opt/sched=cosine"],
    "group at a package": ["db@store.db=pg"],
    "group without its package": ["db=pg"],
    "group added at a package": ["+db@other.place=pg"],
    "group moved": ["db@store.db:moved=pg"],
    "group at an unknown package": ["db@nowhere=pg"],
    "group from a schema": ["+shapes@new=typed", "new.i=3"],
    "group chosen where it was null": ["extra=one"],
    "group, choice sweep": ["model=big,small"],
    "package of a key": ["lr@here=1"],
    "typed int": ["typed.i=3"],
    "typed int from text": ["typed.i='3'"],
    "typed int from float": ["typed.i=3.5"],
    "typed int from word": ["typed.i=word"],
    "typed int null": ["typed.i=null"],
    "typed optional null": ["typed.oi=null"],
    "typed optional": ["typed.oi=3"],
    "typed float from int": ["typed.f=3"],
    "typed float nan": ["typed.f=nan"],
    "typed bool from word": ["typed.b=on"],
    "typed bool from int": ["typed.b=1"],
    "typed str from int": ["typed.s=3"],
    "typed str from float": ["typed.s=1e-3"],
    "typed str from bool": ["typed.s=true"],
    "typed enum": ["typed.e=GREEN"],
    "typed enum by value": ["typed.e=2"],
    "typed enum in other case": ["typed.e=green"],
    "typed list": ["typed.li=[3]"],
    "typed list of a wrong type": ["typed.li=[a]"],
    "typed list element": ["typed.li.0=3"],
    "typed list element of a wrong type": ["typed.li.0=a"],
    "typed dict": ["typed.df.x=2"],
    "typed dict of a wrong type": ["typed.df.x=a"],
    "typed dict new key": ["typed.df.new=2"],
    "typed dict added key": ["+typed.df.new=2"],
    "typed dict by enum": ["typed.de.RED=2"],
    "typed dict of nested": ["typed.din.one.w=2"],
    "typed nested": ["typed.inner.w=2"],
    "typed nested as dict": ["typed.inner={w:2}"],
    "typed nested unknown": ["typed.inner.nothing=2"],
    "typed nested null": ["typed.inner=null"],
    "typed optional nested": ["typed.oinner={w:2}"],
    "typed optional nested, key of null": ["typed.oinner.w=2"],
    "typed list of nested": ["typed.lin.1.w=2"],
    "typed union": ["typed.u=word"],
    "typed union, other type": ["typed.u=1.5"],
    "typed union optional": ["typed.ou=true"],
    "typed path": ["typed.p=x/y"],
    "typed bytes": ["typed.data=x"],
    "typed any": ["typed.any=[1]"],
    "typed missing": ["typed.absent=4"],
    "typed interpolation": ["typed.i=${n}"],
    "typed interpolation of a wrong type": ["typed.i=${word}"],
    "typed interpolated int": ["typed.iref=5"],
    "frozen": ["frozen.i=2"],
    "frozen below": ["frozen.inner.w=2"],
    "frozen list": ["frozen.li.0=2"],
    "sealed open part": ["sealed.a=2"],
    "sealed readonly part": ["sealed.b.c=2"],
    "sealed open dict": ["sealed.e.new=2"],
    "hydra name": ["hydra.job.name=x", "lr=1"],
    "hydra name from the config": ["hydra.job.name=x_${lr}"],
    "hydra unknown": ["hydra.nothing=1"],
    "hydra group": ["hydra/job_logging=none"],
    "hydra launcher": ["hydra/launcher=parcache"],
    "hydra launcher's key": ["hydra.launcher.nothing=1"],
    "hydra directory name": ["hydra.job.config.override_dirname.kv_sep=:", "lr=1"],
    "hydra excluded key": ["hydra.job.config.override_dirname.exclude_keys=[lr]", "lr=1"],
    "hydra variable": ["hydra.job.env_copy=[NO_SUCH_VARIABLE]"],
    "hydra search path": ["hydra.searchpath=[]"],
    "hydra overrides": ["hydra.overrides.task=[a]"],
    "hydra choices": ["hydra.runtime.choices.model=x"],
    "excluded from the directory name": ["n=5", "lr=1"],
    "sweep of values": ["lr=1,2"],
    "sweep by range": ["lr=range(1,3)"],
    "sweep by choice": ["lr=choice(1,2)"],
    "sweep by glob": ["model=glob(*)"],
    "extended list": ["xs=extend_list(4)"],
    "sorted list": ["xs=sort([3,1,2])"],
    "syntax: no value": ["lr"],
    "syntax: no key": ["=1"],
    "syntax: empty": [""],
    "syntax: open bracket": ["xs=[1,2"],
    "syntax: open quote": ["word='a"],
    "syntax: spaces around the equals sign": ["lr = 1"],
    "syntax: two dots": ["deep..er=1"],
    "syntax: second of two": ["lr=1", "n=]"],
    "error in the second of two": ["lr=1", "nothing=2"],
    "error that tells what a resolver returned": ["~serial=-1"],
    "two errors": ["typed.i=word", "nothing=2"],
}


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep over one project that has everything."""
    return Sweep(tmp_path_factory.mktemp("rich"), RICH, ["hydra.job.chdir=false"])


@pytest.fixture(scope="module")
def composer(rich: Sweep) -> SweepComposer:
    """One composer for all rules: what one leaves behind is there for the next."""
    return SweepComposer(rich.loader())


@pytest.mark.parametrize("rule", RULES)
def test_composer_rule_equals_hydra(rich: Sweep, composer: SweepComposer, rule: str) -> None:
    """The composer returns or raises what Hydra does."""
    assert compare(rich, composer, [RULES[rule]], ("nothing",), repeated=0) == []


@pytest.mark.parametrize("touch", TOUCHES)
def test_composer_result_first_touch_equals_hydra(rich: Sweep, composer: SweepComposer, touch: str) -> None:
    """Whatever is done first to a composed config, it answers as Hydra's does, and is what Hydra's is afterwards."""
    assert compare(rich, composer, [["lr=0.25", "xs=[1]"]], (touch,), repeated=0) == []


def test_composer_jobs_one_after_another_keep_apart(rich: Sweep, composer: SweepComposer) -> None:
    """A sweep's jobs know nothing of each other, whatever is done to any of them."""
    jobs = [
        ["lr=1", "xs=[1]"],
        ["lr=2", "xs=[2]"],
        ["model=big", "lr=1"],
        ["lr=1", "model=big"],
        ["+new=1", "lr=1"],
        ["xs.0=1", "lr=word"],
        ["typed.li.0=5", "typed.lin.0.w=5"],
        ["nothing=1"],
        ["~serial=-1"],
        ["lr=1", "xs=[1]"],
    ]
    assert compare(rich, composer, jobs, repeated=len(jobs)) == []


def fuzz(function: Callable[..., None]) -> Callable[..., None]:
    """Draw as many projects as it takes to compare the wanted number of override lists over all shards."""
    wanted = settings(
        max_examples=max(1, -(-EXAMPLES // (JOBS * SHARDS))),
        deadline=None,
        derandomize=not FUZZING,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    return wanted(function)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_composer_any_sweep_equals_hydra(shard: int, record_property: Callable[[str, object], None]) -> None:
    """Every job of every sweep over every project is composed as Hydra composes it, or raises what Hydra raises."""
    compared = 0
    real, taken = composer_module.without_task_overrides, []

    def noting(*args: Any) -> Any:
        base = real(*args)
        taken.append(base is not None)
        return base

    @fuzz
    @given(tree=trees(), data=st.data())
    def check(tree: Tree, data: st.DataObject) -> None:
        nonlocal compared
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            sweep = outcome(Sweep, Path(folder), tree.files, tree.overrides)
            assume(isinstance(sweep, Sweep))  # there is no sweep over what does not compose at all
            jobs = data.draw(sweeps(tree, places(sweep.master), JOBS))
            start = data.draw(st.integers(0, len(QUIET_TOUCHES) - 1))
            touches = QUIET_TOUCHES[start:] + QUIET_TOUCHES[:start]
            differences = compare(sweep, SweepComposer(sweep.loader()), jobs, touches, repeated=1)
            compared += len(jobs)
            if differences:
                note(str(sweep))
            # In full: where it depends on more than the drawn data, there is no second time.
            assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:5])

    try:
        with mock.patch.object(composer_module, "without_task_overrides", noting):
            check()
    finally:
        record_property(COMPARED, compared)
    assert any(taken)  # the sweep's own config served as a base


# Files are written thousands of times over: in memory, where there is such a place.
FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
