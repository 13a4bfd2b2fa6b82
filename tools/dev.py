"""Everything that a newcomer or CI runs, with nothing but Python: ``python3 tools/dev.py COMMAND``.

Environments are made below ``.venv*`` and made again when what they are made of changes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIGITS = ["train.py", "-m", "hydra/launcher=parcache"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Other arguments go to pytest, to the benchmarks, to slurm.", allow_abbrev=False
    )
    parser.add_argument(
        "command", choices=["demo", "test", "lint", "fuzz", "fuzz-code", "bench", "bench-edits", "bench-slurm", "slurm"]
    )
    parser.add_argument("--venv", type=Path, help="where the environment lies (default: .venv, .venv-bench…)")
    parser.add_argument("--hydra", default="", help="a version specifier such as '<1.4' or '==1.4.0rc3'")
    parser.add_argument(
        "--examples", type=int, help="how many compositions fuzz compares (20000), projects fuzz-code draws (5000)"
    )
    # Not a positional of its own: argparse would part what belongs together, such as the two words of "-k name".
    options, rest = parser.parse_known_args()
    if sys.version_info < (3, 10):  # noqa: UP036 - whatever python3 is, it gets this far
        print("parcache needs Python 3.10 or newer; this is", sys.version.split()[0], file=sys.stderr)
        return 2
    if options.command == "slurm":  # needs no environment
        return run(Path(sys.executable), "-m", "tests.slurm", *rest)
    if options.command == "bench":  # the peers bring plugins into every Hydra app: not into the tests' environment
        python = environment(options.venv or ROOT / ".venv-bench", options.hydra, "bench")
        return run(python, "-m", "benchmarks", *rest)
    if options.command == "bench-edits":
        python = environment(options.venv or ROOT / ".venv-bench-edits", options.hydra, "bench-edits")
        return run(python, "-m", "benchmarks.edits", *rest)
    if options.command == "bench-slurm":
        python = environment(options.venv or ROOT / ".venv-bench-slurm", options.hydra, "bench,slurm,dask")
        return run(python, "-m", "benchmarks.slurm", *rest)
    python = environment(options.venv or ROOT / ".venv", options.hydra, "test,lint,examples")
    if options.command == "demo":
        return demo(python)
    if options.command == "lint":
        return lint(python)
    if options.command == "fuzz":
        return fuzz(python, options.examples or 20_000, rest)
    if options.command == "fuzz-code":
        return fuzz_code(python, options.examples or 5_000, rest)
    return run(python, "-m", "pytest", *rest)


def environment(folder: Path, hydra: str, extras: str) -> Path:
    """Return the Python of an environment that has parcache (editable) with these extras."""
    python = folder / "bin" / "python"
    made_of = "\n".join([hydra, extras, sys.version])
    recipe = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + made_of.encode()).hexdigest()
    stamp = folder / "parcache-recipe"
    if stamp.exists() and stamp.read_text() == recipe and python.exists():
        return python
    print(f"making an environment in {folder} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv")
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    wanted = [f"hydra-core{hydra}"] if hydra else []
    # Pre-releases are admitted for Hydra and OmegaConf alone: pip takes them where a specifier names one.
    if "rc" in hydra:
        subprocess.run([*pip, "--pre", *wanted], check=True)
    subprocess.run([*pip, "--editable", f"{ROOT}[{extras}]", *wanted], check=True)
    stamp.write_text(recipe)
    return python


def run(python: Path, *arguments: str, folder: Path = ROOT) -> int:
    return subprocess.run([str(python), *arguments], cwd=folder, check=False).returncode


def demo(python: Path) -> int:
    """Run the main job twice: the first computes what the store does not hold yet, the second nothing."""
    folder = ROOT / "examples" / "digits"
    for _ in range(2):
        print(f"\n$ cd {os.path.relpath(folder)} && python {' '.join(DIGITS)}", flush=True)
        code = run(python, *DIGITS, folder=folder)
        if code:
            return code
    return 0


def fuzz(python: Path, examples: int, arguments: list[str]) -> int:
    """Compose this many jobs of drawn sweeps with parcache and with Hydra, on all cores, and compare them."""
    os.environ["PARCACHE_FUZZ_EXAMPLES"] = str(examples)
    tests = ["tests/test_composer_differential.py", "-k", "any_sweep"]
    return run(python, "-m", "pytest", *tests, *arguments)


def fuzz_code(python: Path, examples: int, arguments: list[str]) -> int:
    """Edit this many drawn projects for each law of the fingerprint, on all cores."""
    os.environ["PARCACHE_FUZZ_CODE_EXAMPLES"] = str(examples)
    return run(python, "-m", "pytest", "tests/test_code_projects.py", *arguments)


def lint(python: Path) -> int:
    commands = [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)]
    return max(run(python, "-m", *command) for command in commands)


if __name__ == "__main__":
    sys.exit(main())
