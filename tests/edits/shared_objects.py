"""Attacks by objects that have two names, or that are used up by whoever reads from them."""

from __future__ import annotations

from tests.edits.case import SITE, distribution, miss

CASES = [
    miss(
        "list_changed_by_its_other_name",
        "def go(x):\n    from helper import f\n    return f(x)",
        "go(cfg.x)",
        {
            "helper.py": """
                A = B = []
                B.append(2)
                D = {'a': (L := [])}
                L.append(2)
                def f(x): return A[0], D['a'][0]
            """
        },
        {"helper.py": ("B.append(2)", "B.append(3)")},
    ),
    miss(
        "iterator_used_up_by_a_function_that_changes_nothing",
        "def go(x):\n    from helper import f\n    return f(x)",
        "go(cfg.x)",
        {
            "helper.py": """
                from itertools import islice
                IT = iter([1, 2, 3, 4, 5, 6])
                def first(it):
                    for y in it:
                        return y
                A = first(IT)
                C = sum(islice(IT, 2))
                B = first(IT)
                def f(x): return B
            """
        },
        {"helper.py": ("A = first(IT)\n", "")},
    ),
    miss(
        "random_generator_used_up_by_a_library",
        "def go(x):\n    from helper import f\n    return f(x)",
        "go(cfg.x)",
        {
            "helper.py": """
                import random
                from fakelib import split
                rng = random.Random(0)
                A = split([1, 2, 3, 4, 5, 6, 7, 8], rng=rng)
                B = split([1, 2, 3, 4, 5, 6, 7, 8], rng=rng)
                def f(x): return B
            """,
            **distribution("1", "def split(x, rng):\n    return rng.sample(x, 4)\n"),
        },
        {"helper.py": ("A = split([1, 2, 3, 4, 5, 6, 7, 8], rng=rng)\n", "")},
        sites=(SITE,),
        plain=False,
    ),
]
