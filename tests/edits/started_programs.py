"""Attacks by programs that the job starts, configs that it reads, and modules that nobody imports by name."""

from __future__ import annotations

import os
import py_compile
import sys

from tests.edits.case import Scene, miss


def _without_source(scene: Scene) -> None:
    source = scene.folder / "lib.py"
    source.write_text("import helper\ndef f(x): return helper.g(x)\n")
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), cfile=str(source) + "c", doraise=True, invalidation_mode=unchecked)
    source.unlink()


CASES = [
    miss(
        "module_run_by_a_computed_name",
        "import subprocess, sys",
        "subprocess.run([sys.executable, '-m', f'tools.{cfg.t}'], capture_output=True, text=True).stdout",
        {
            "conf/config.yaml": "x: 1\nt: work\n",
            "tools/__init__.py": "",
            "tools/work.py": "if __name__ == '__main__':\n    print(1)\n",
        },
        {"tools/work.py": ("print(1)", "print(2)")},
        plain=False,
    ),
    miss(
        "script_run_by_a_computed_name",
        "import subprocess, sys, os\nHERE = os.path.dirname(os.path.abspath(__file__))",
        "subprocess.run([sys.executable, os.path.join(HERE, cfg.t + '.py')], capture_output=True, text=True).stdout",
        {
            "conf/config.yaml": "x: 1\nt: work\n",
            "work.py": "print(1)\n",
        },
        {"work.py": ("print(1)", "print(2)")},
        plain=False,
    ),
    miss(
        "script_that_the_config_names",
        "import subprocess, sys, os\nHERE = os.path.dirname(os.path.abspath(__file__))",
        "subprocess.run([sys.executable, os.path.join(HERE, cfg.t)], capture_output=True, text=True).stdout",
        {
            "conf/config.yaml": "x: 1\nt: work.py\n",
            "work.py": "print(1)\n",
        },
        {"work.py": ("print(1)", "print(2)")},
        plain=False,
    ),
    miss(
        "script_run_by_the_python_that_is_found",
        "import subprocess",
        "subprocess.run(['python3', f'stages/{cfg.t}.py'], capture_output=True, text=True).stdout",
        {
            "conf/config.yaml": "x: 1\nt: work\n",
            "stages/work.py": "print(1)\n",
        },
        {"stages/work.py": ("print(1)", "print(2)")},
        plain=False,
    ),
    miss(
        "module_in_a_command_line",
        "import subprocess, sys, os",
        "subprocess.run('python -m tools.work', shell=True, capture_output=True, text=True).stdout",
        {
            "tools/__init__.py": "",
            "tools/work.py": "if __name__ == '__main__':\n    print(1)\n",
        },
        {"tools/work.py": ("print(1)", "print(2)")},
        env={"PATH": os.path.dirname(sys.executable) + ":/usr/bin:/bin"},
        plain=False,
    ),
    miss(
        "module_in_a_formatted_command_line",
        "import subprocess, sys, os",
        "subprocess.run(f'{sys.executable} -m tools.work', shell=True, capture_output=True, text=True).stdout",
        {
            "tools/__init__.py": "",
            "tools/work.py": "if __name__ == '__main__':\n    print(1)\n",
        },
        {"tools/work.py": ("print(1)", "print(2)")},
        plain=False,
    ),
    miss(
        "main_guard_of_a_program_run_by_runpy",
        "import runpy",
        "runpy.run_path(cfg.t + '.py', run_name='__main__')['V']",
        {
            "conf/config.yaml": "x: 1\nt: work\n",
            "work.py": "if __name__ == '__main__':\n    V = 1\n",
        },
        {"work.py": ("V = 1", "V = 2")},
        plain=False,
    ),
    miss(
        "module_in_code_of_a_command_line",
        "import subprocess, sys",
        "subprocess.run([sys.executable, '-c', 'import work; work.go()'], capture_output=True, text=True).stdout",
        {
            "work.py": "def go(): print(1)\n",
        },
        {"work.py": ("print(1)", "print(2)")},
        plain=False,
    ),
    miss(
        "target_in_a_text_of_a_config",
        "from omegaconf import OmegaConf\nfrom hydra.utils import instantiate\nfrom models import A",
        "(A, instantiate(OmegaConf.create('_target_: models.b\\nx: 1')))[1]",
        {
            "models.py": "class A: pass\ndef b(x): return 1\n",
        },
        {"models.py": ("return 1", "return 2")},
        plain=False,
    ),
    miss(
        "target_in_a_config_that_the_job_reads",
        "from omegaconf import OmegaConf\nfrom hydra.utils import instantiate\nfrom models import A",
        "(A, instantiate(OmegaConf.load('m.yaml')))[1]",
        {
            "m.yaml": "_target_: models.b\nx: 1\n",
            "models.py": "class A: pass\ndef b(x): return 1\n",
        },
        {"models.py": ("return 1", "return 2")},
        plain=False,
    ),
    miss(
        "target_in_data_that_the_job_reads",
        "import json\nfrom hydra.utils import instantiate\nfrom models import A",
        "(A, instantiate(json.load(open('m.json'))))[1]",
        {
            "m.json": '{"_target_": "models.b", "x": 1}',
            "models.py": "class A: pass\ndef b(x): return 1\n",
        },
        {"models.py": ("return 1", "return 2")},
        plain=False,
    ),
    miss(
        "target_in_a_config_that_imports_its_module",
        "from omegaconf import OmegaConf\nfrom hydra.utils import instantiate",
        "instantiate(OmegaConf.load('m.yaml'))",
        {
            "m.yaml": "_target_: models.b\nx: 1\n",
            "models.py": "class A: pass\ndef b(x): return 1\n",
        },
        {"models.py": ("return 1", "return 2")},
        may_refuse=True,
        plain=False,
    ),
    miss(
        "config_read_at_import",
        "from omegaconf import OmegaConf\nS = OmegaConf.load('s.yaml')",
        "S.rate",
        {
            "s.yaml": "rate: 1\n",
        },
        {"s.yaml": "rate: 2\n"},
        plain=False,
    ),
    miss(
        "dataclass_made_from_a_file_at_import",
        "from settings import S",
        "S.rate",
        {
            "s.json": '{"rate": 1}',
            "settings.py": """
                import json
                from dataclasses import dataclass
                @dataclass
                class Settings:
                    rate: int
                S = Settings(**json.load(open('s.json')))
            """,
        },
        {"s.json": '{"rate": 2}'},
        plain=False,
    ),
    miss(
        "instance_made_from_a_file_at_import",
        "from settings import S",
        "S.rate",
        {
            "s.json": '{"rate": 1}',
            "settings.py": """
                import json
                class Settings:
                    def __init__(self, **k): self.__dict__.update(k)
                S = Settings(**json.load(open('s.json')))
            """,
        },
        {"s.json": '{"rate": 2}'},
        plain=False,
    ),
    miss(
        "resolver_of_a_plugin_in_the_project",
        "from omegaconf import OmegaConf",
        "OmegaConf.create({'a': '${twice:2}'}).a",
        {
            "hydra_plugins/mine/__init__.py": """
                from omegaconf import OmegaConf
                from hydra.plugins.search_path_plugin import SearchPathPlugin
                OmegaConf.register_new_resolver('twice', lambda v: v * 2, replace=True)
                class P(SearchPathPlugin):
                    def manipulate_search_path(self, search_path): pass
            """,
        },
        {"hydra_plugins/mine/__init__.py": ("v * 2", "v * 3")},
        afresh=True,
        plain=False,
    ),
    miss(
        "module_imported_by_one_without_a_source",
        "from lib import f",
        "f(cfg.x)",
        {
            "helper.py": "def g(x): return 1\n",
        },
        {"helper.py": ("return 1", "return 2")},
        prepare=_without_source,
        plain=False,
    ),
]
