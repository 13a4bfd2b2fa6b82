"""The floor under every sweep: the folders and files that Hydra leaves behind for each job, and nothing else.

Run as a program of its own (``python folders.py TEMPLATE TARGET JOBS PROCESSES``), importing no more than it needs;
prints the seconds that the writing took, without the interpreter's start.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence


def read_template(folder: str) -> tuple[list[str], list[tuple[str, bytes]]]:
    """Return what lies in a job's folder: the folders, outer ones first, and the files, by their relative paths."""
    folders, files = [], []
    for place, _, names in os.walk(folder):
        relative = os.path.relpath(place, folder)
        if relative != os.curdir:
            folders.append(relative)
        for name in sorted(names):
            with open(os.path.join(place, name), "rb") as file:
                files.append((os.path.normpath(os.path.join(relative, name)), file.read()))
    return folders, files


def write_jobs(template: tuple[list[str], list[tuple[str, bytes]]], target: str, numbers: Sequence[int]) -> None:
    """Write a copy of the template for each of the jobs, in a folder that has its number for a name."""
    folders, files = template
    for number in numbers:
        job = os.path.join(target, str(number))
        os.mkdir(job)
        for folder in folders:
            os.mkdir(os.path.join(job, folder))
        for name, content in files:
            with open(os.path.join(job, name), "wb") as file:
                file.write(content)


def write_in_parallel(
    template: tuple[list[str], list[tuple[str, bytes]]], target: str, jobs: int, processes: int
) -> None:
    """Write the jobs in several processes at once, job by job in turn."""
    children = []
    for index in range(processes):
        child = os.fork()
        if child == 0:
            try:
                write_jobs(template, target, range(index, jobs, processes))
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitpid(child, 0)[1] for child in children]
    if any(codes):
        raise OSError(f"a process could not write its jobs to {target}")


def main(arguments: Sequence[str]) -> None:
    source, target = arguments[:2]
    jobs, processes = int(arguments[2]), int(arguments[3])
    template = read_template(source)
    os.makedirs(target)
    started = time.perf_counter()
    if processes == 1:
        write_jobs(template, target, range(jobs))
    else:
        write_in_parallel(template, target, jobs, processes)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1:])
