"""Attacks through the config: jobs that share code, resolvers, schemas, values."""

from __future__ import annotations

from tests.edits.case import Case, Change, hit, miss

_INSTANTIATE = "from hydra.utils import instantiate"

_GROUPS = {
    "conf/config.yaml": "defaults: [{model: a}, {opt: sgd}, _self_]\nx: 1\n",
    "conf/model/a.yaml": "_target_: models.a.make\n",
    "conf/model/b.yaml": "_target_: models.b.make\n",
    "conf/opt/sgd.yaml": "_target_: opts.sgd\n",
    "conf/opt/adam.yaml": "_target_: opts.adam\n",
    "models/__init__.py": "",
    "models/common.py": "def both(x): return x + 1\n",
    "models/a.py": "from .common import both\ndef make(): return both(1)\n",
    "models/b.py": "def make(): return 20\n",
    "opts.py": "def sgd(): return 100\ndef adam(): return 200\n",
}

_SUM = "instantiate(cfg.model) + instantiate(cfg.opt)"

_JOBS = ("model=a,b", "opt=sgd,adam")


def grouped(name: str, edit: dict[str, Change], again: tuple[str, ...]) -> Case:
    """Return a case on four jobs that share some of their code."""
    return miss(name, _INSTANTIATE, _SUM, _GROUPS, edit, again=again, jobs=_JOBS, plain=False)


CASES = [
    grouped("first_model_edited", {"models/a.py": ("both(1)", "both(5)")}, ("model=a opt=sgd", "model=a opt=adam")),
    grouped(
        "second_model_edited", {"models/b.py": ("return 20", "return 21")}, ("model=b opt=sgd", "model=b opt=adam")
    ),
    grouped(
        "what_one_model_imports_edited",
        {"models/common.py": ("x + 1", "x + 2")},
        ("model=a opt=sgd", "model=a opt=adam"),
    ),
    grouped(
        "one_function_of_a_shared_module_edited",
        {"opts.py": ("return 200", "return 201")},
        ("model=a opt=adam", "model=b opt=adam"),
    ),
    grouped("task_of_all_jobs_edited", {"train.py": ("instantiate(cfg.opt)", "2 * instantiate(cfg.opt)")}, ("*",)),
    miss(
        "statement_of_a_package_edited",
        _INSTANTIATE,
        _SUM,
        _GROUPS,
        {"models/__init__.py": "import opts\nopts.sgd = lambda: 101\nopts.adam = lambda: 201\n"},
        jobs=_JOBS,
        plain=False,
    ),
    miss(
        "resolver_registered_by_a_helper",
        "import helper",
        "cfg.size",
        {
            "conf/config.yaml": "x: 1\nsize: ${scaled:${x}}\n",
            "helper.py": """
                from omegaconf import OmegaConf
                def scaled(x):
                    return 2 * x
                OmegaConf.register_new_resolver("scaled", scaled, replace=True)
            """,
        },
        {"helper.py": ("2 * x", "3 * x")},
        plain=False,
    ),
    miss(
        "resolver_used_inside_the_task_only",
        "import helper\nfrom omegaconf import OmegaConf",
        "OmegaConf.create({'size': '${scaled:' + str(cfg.x) + '}'}).size",
        {
            "helper.py": """
                from omegaconf import OmegaConf
                def scaled(x):
                    return 2 * x
                OmegaConf.register_new_resolver("scaled", scaled, replace=True)
            """
        },
        {"helper.py": ("2 * x", "3 * x")},
    ),
    miss(
        "structured_config_default",
        "import schema",
        "cfg.size",
        {
            "conf/config.yaml": "defaults: [base, _self_]\nx: 1\n",
            "schema.py": """
                from dataclasses import dataclass
                from hydra.core.config_store import ConfigStore
                @dataclass
                class Config:
                    x: int = 0
                    size: int = 5
                ConfigStore.instance().store(name="base", node=Config)
            """,
        },
        {"schema.py": ("size: int = 5", "size: int = 6")},
        plain=False,
    ),
    miss(
        "value_of_the_config",
        "",
        "cfg.y",
        {"conf/config.yaml": "x: 1\ny: 2\n"},
        {"conf/config.yaml": "x: 1\ny: 3\n"},
        plain=False,
    ),
    miss(
        "type_of_a_value_of_the_config",
        "",
        "cfg.y",
        {"conf/config.yaml": "x: 1\ny: 2\n"},
        {"conf/config.yaml": "x: 1\ny: '2'\n"},
        plain=False,
    ),
    miss(
        "key_added_to_the_config",
        "",
        "sorted(cfg)",
        {"conf/config.yaml": "x: 1\n"},
        {"conf/config.yaml": "x: 1\ny: null\n"},
        plain=False,
    ),
    miss(
        "config_file_of_a_group",
        "",
        "cfg.model.size",
        {
            "conf/config.yaml": "defaults: [{model: a}, _self_]\nx: 1\n",
            "conf/model/a.yaml": "size: 1\n",
            "conf/model/b.yaml": "size: 2\n",
        },
        {"conf/model/b.yaml": "size: 3\n"},
        jobs=("model=a,b",),
        again=("model=b",),
        plain=False,
    ),
    miss(
        "callback_of_the_application",
        "import callbacks",
        "callbacks.RATE",
        {"callbacks.py": "RATE = 1\nclass Told:\n    def on_job_start(self, **_):\n        pass\n"},
        {"callbacks.py": ("RATE = 1", "RATE = 2")},
    ),
    hit(
        "comment_in_the_config_of_a_group",
        _INSTANTIATE,
        _SUM,
        _GROUPS,
        {"conf/model/b.yaml": "# the second\n_target_: models.b.make\n"},
        jobs=_JOBS,
        plain=False,
    ),
    hit(
        "unused_function_beside_a_target",
        _INSTANTIATE,
        "instantiate(cfg.a)",
        {
            "conf/config.yaml": "x: 1\na: {_target_: helper.f}\n",
            "helper.py": "def f(): return 1\ndef unused(): return 2\n",
        },
        {"helper.py": ("return 2", "return 3")},
        plain=False,
    ),
    hit(
        "function_that_a_config_names_as_text_in_a_task_without_lookups",
        "",
        "cfg.note",
        {"conf/config.yaml": "x: 1\nnote: see the helper\n", "helper.py": "def f(): return 1\n"},
        {"helper.py": ("return 1", "return 2")},
        plain=False,
    ),
    hit(
        "group_that_is_not_chosen",
        "",
        "cfg.model.size",
        {
            "conf/config.yaml": "defaults: [{model: a}, _self_]\nx: 1\n",
            "conf/model/a.yaml": "size: 1\n",
            "conf/model/b.yaml": "size: 2\n",
        },
        {"conf/model/b.yaml": "size: 3\n"},
        plain=False,
    ),
]
