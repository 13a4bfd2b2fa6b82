"""Attacks by statements: what looks alike as bytecode, as text or as a tree, and is not."""

from __future__ import annotations

import sys

from tests.edits.case import Case, hit, miss


def body(name: str, before: str, after: str, value: str = "f(cfg.x)") -> Case:
    """Return a case whose edit gives a helper another text."""
    return miss(name, "from helper import f", value, {"helper.py": before}, {"helper.py": after})


def same(name: str, before: str, after: str) -> Case:
    """Return a case whose edit gives a helper a text that does the same."""
    return hit(name, "from helper import f", "f(cfg.x)", {"helper.py": before}, {"helper.py": after})


_FAIL = "def fail(): raise ValueError\n"

CASES = [
    body(
        "call_moved_from_try_to_else",
        _FAIL
        + """
def f(x):
    try:
        try:
            pass
            fail()
        except ValueError:
            return 1
    except ValueError:
        return 2
""",
        _FAIL
        + """
def f(x):
    try:
        try:
            pass
        except ValueError:
            return 1
        else:
            fail()
    except ValueError:
        return 2
""",
    ),
    body(
        "statement_moved_into_finally",
        "def f(x):\n    log = []\n    try:\n        log.append(1)\n        return log\n"
        "    except ValueError:\n        pass\n    log.append(2)\n    return log\n",
        "def f(x):\n    log = []\n    try:\n        log.append(1)\n        return log\n"
        "    except ValueError:\n        pass\n    finally:\n        log.append(2)\n",
    ),
    body(
        "statement_moved_out_of_a_loop",
        "def f(x):\n    n = 0\n    for _ in range(3):\n        n += 1\n        n *= 2\n    return n\n",
        "def f(x):\n    n = 0\n    for _ in range(3):\n        n += 1\n    n *= 2\n    return n\n",
    ),
    body(
        "else_of_a_loop",
        "def f(x):\n    for n in range(3):\n        if n == 1:\n"
        "            break\n    else:\n        return 1\n    return 2\n",
        "def f(x):\n    for n in range(3):\n        if n == 7:\n"
        "            break\n    else:\n        return 1\n    return 2\n",
    ),
    body("chained_comparison", "def f(x): return 0 < x < 1\n", "def f(x): return (0 < x) < 1.5\n"),
    body("parentheses_that_matter", "def f(x): return 2 * x + 3\n", "def f(x): return 2 * (x + 3)\n"),
    body("parentheses_that_make_a_tuple", "def f(x): return (x)\n", "def f(x): return (x,)\n"),
    body("comma_that_makes_a_tuple", "def f(x):\n    y = x\n    return y\n", "def f(x):\n    y = x,\n    return y\n"),
    body("string_joined_by_a_missing_comma", "def f(x): return ['a', 'b']\n", "def f(x): return ['a' 'b']\n"),
    body("indentation_inside_a_string", "def f(x): return '''a\n b'''\n", "def f(x): return '''a\n  b'''\n"),
    body("raw_string", "def f(x): return '\\n'\n", "def f(x): return r'\\n'\n"),
    body("comment_sign_inside_a_string", "def f(x): return 'a # b'\n", "def f(x): return 'a # c'\n"),
    body("spaces_inside_an_f_string", "def f(x): return f'{x} '\n", "def f(x): return f'{x}  '\n"),
    body("conversion_in_an_f_string", "def f(x): return f'{str(x)!s}'\n", "def f(x): return f'{str(x)!r}'\n"),
    body("debugging_f_string", "def f(x): return f'{x=}'\n", "def f(x): return f'{x =}'\n"),
    body(
        "string_statement_that_is_no_docstring",
        "def f(x): return g.__doc__\ndef g():\n    'a'\n",
        "def f(x): return g.__doc__\ndef g():\n    pass\n    'a'\n",
    ),
    body(
        "match_statement",
        "def f(x):\n    match x:\n        case 1 | 2:\n"
        "            return 'few'\n        case _:\n            return 'many'\n",
        "def f(x):\n    match x:\n        case 2 | 3:\n"
        "            return 'few'\n        case _:\n            return 'many'\n",
    ),
    body(
        "order_of_match_cases",
        "def f(x):\n    match x:\n        case int():\n"
        "            return 'int'\n        case 1:\n            return 'one'\n",
        "def f(x):\n    match x:\n        case 1:\n            return 'one'\n"
        "        case int():\n            return 'int'\n",
    ),
    body(
        "guard_of_a_match_case",
        "def f(x):\n    match x:\n        case int(y) if y > 0:\n            return 1\n    return 2\n",
        "def f(x):\n    match x:\n        case int(y) if y > 1:\n            return 1\n    return 2\n",
    ),
    miss(
        "constant_in_a_match_case",
        "from helper import f",
        "f(cfg.x)",
        {
            "helper.py": "import limits\ndef f(x):\n    match x:\n"
            "        case limits.ONE:\n            return 1\n    return 2\n",
            "limits.py": "ONE = 1\n",
        },
        {"limits.py": ("ONE = 1", "ONE = 3")},
    ),
    miss(
        "class_in_a_match_case",
        "from helper import f, Point",
        "f(Point(1, 2))",
        {
            "helper.py": """
                class Point:
                    __match_args__ = ("a", "b")
                    def __init__(self, a, b):
                        self.a, self.b = a, b
                def f(point):
                    match point:
                        case Point(first, _):
                            return first
            """
        },
        {"helper.py": ('("a", "b")', '("b", "a")')},
    ),
    body(
        "generator",
        "def f(x): return list(g())\ndef g():\n    yield 1\n",
        "def f(x): return list(g())\ndef g():\n    yield 2\n",
    ),
    body(
        "yield_from",
        "def f(x): return list(g())\ndef g():\n    yield from [1, 2]\n",
        "def f(x): return list(g())\ndef g():\n    yield [1, 2]\n",
    ),
    body(
        "function_becomes_a_generator",
        "def f(x): return type(g()).__name__\ndef g():\n    return None\n",
        "def f(x): return type(g()).__name__\ndef g():\n    return None\n    yield\n",
    ),
    body(
        "async_function",
        "import asyncio\ndef f(x): return asyncio.run(g(x))\nasync def g(x): return x + 1\n",
        "import asyncio\ndef f(x): return asyncio.run(g(x))\nasync def g(x): return x + 2\n",
    ),
    body(
        "async_iteration_and_context",
        """
import asyncio
class Scope:
    async def __aenter__(self): return 1
    async def __aexit__(self, *_): return None
async def numbers():
    yield 1
async def g():
    async with Scope() as a:
        return [a + n async for n in numbers()]
def f(x): return asyncio.run(g())
""",
        """
import asyncio
class Scope:
    async def __aenter__(self): return 2
    async def __aexit__(self, *_): return None
async def numbers():
    yield 1
async def g():
    async with Scope() as a:
        return [a + n async for n in numbers()]
def f(x): return asyncio.run(g())
""",
    ),
    body(
        "sync_iteration_becomes_another_of_the_same_names",
        "def f(x): return [n for n in range(3) if n]\n",
        "def f(x): return {n for n in range(3) if n}\n",
    ),
    body("is_and_equals", "def f(x): return [1] == [1]\n", "def f(x): return [1] is [1]\n"),
    body("and_and_or", "def f(x): return x and 0\n", "def f(x): return x or 0\n"),
    body(
        "future_annotations",
        "def g(x: int): pass\ndef f(x): return str(g.__annotations__['x'])\n",
        "from __future__ import annotations\ndef g(x: int): pass\ndef f(x): return str(g.__annotations__['x'])\n",
    ),
    body("encoding_declared", "def f(x): return 'é'\n", "# -*- coding: latin-1 -*-\ndef f(x): return 'é'\n"),
    body(
        "set_of_strings",
        "NAMES = {'a', 'b', 'c'}\ndef f(x): return sorted(NAMES)\n",
        "NAMES = {'a', 'b', 'd'}\ndef f(x): return sorted(NAMES)\n",
    ),
    body("large_number", "def f(x): return 10 ** 30 + 1\n", "def f(x): return 10 ** 30 + 2\n"),
    body("ellipsis_and_none", "def f(x): return ...\n", "def f(x): return None\n"),
    body("bytes_constant", "def f(x): return b'\\x00'\n", "def f(x): return b'\\x01'\n"),
    body("surrogate_in_a_string", "def f(x): return ascii('\\ud800')\n", "def f(x): return ascii('\\ud801')\n"),
    body("unicode_name_of_the_same_look", "def f(x): return list(dict(é=1))\n", "def f(x): return list(dict(e=1))\n"),
    body("lambda_default", "f = lambda x, by=1: x * by\n", "f = lambda x, by=2: x * by\n"),
    body(
        "conditional_expression",
        "RATE = 1 if True else 2\ndef f(x): return RATE\n",
        "RATE = 1 if False else 2\ndef f(x): return RATE\n",
    ),
    body(
        "assertion_removed",
        "def f(x):\n    try:\n        assert x > 5\n    except AssertionError:\n        return 1\n    return 2\n",
        "def f(x):\n    try:\n        x > 5\n    except AssertionError:\n        return 1\n    return 2\n",
    ),
    body(
        "exception_type",
        "def f(x):\n    try:\n        raise KeyError\n    except LookupError:\n"
        "        return 1\n    except KeyError:\n        return 2\n",
        "def f(x):\n    try:\n        raise KeyError\n    except KeyError:\n"
        "        return 2\n    except LookupError:\n        return 1\n",
    ),
    body(
        "own_exception_class",
        "class Bad(ValueError):\n    pass\ndef f(x):\n    try:\n        raise Bad\n"
        "    except ValueError:\n        return 1\n    except Exception:\n        return 2\n",
        "class Bad(KeyError):\n    pass\ndef f(x):\n    try:\n        raise Bad\n"
        "    except ValueError:\n        return 1\n    except Exception:\n        return 2\n",
    ),
    body(
        "recursion",
        "def f(x): return 1 if x < 1 else 2 * f(x - 1)\n",
        "def f(x): return 1 if x < 1 else 3 * f(x - 1)\n",
    ),
    body(
        "mutual_recursion",
        "def f(x): return 1 if x < 1 else g(x - 1)\ndef g(x): return 2 * f(x - 1) if x > 0 else 5\n",
        "def f(x): return 1 if x < 1 else g(x - 1)\ndef g(x): return 2 * f(x - 1) if x > 0 else 6\n",
    ),
    same(
        "redundant_pass",
        "def f(x):\n    '''Return it.'''\n    return x\n",
        "def f(x):\n    '''Give it.'''\n    return x\n",
    ),
    same("number_in_another_base", "def f(x): return 255 * x\n", "def f(x): return 0xff * x\n"),
    same("digits_grouped", "def f(x): return 1000 * x\n", "def f(x): return 1_000 * x\n"),
    same("string_with_another_prefix", "def f(x): return 'a'\n", "def f(x): return u'a'\n"),
    same("string_escaped", "def f(x): return 'é'\n", "def f(x): return '\\xe9'\n"),
    same("tabs_for_spaces", "def f(x):\n    return x\n", "def f(x):\n\treturn x\n"),
    same("line_endings", "def f(x):\n    return x\n", "def f(x):\r\n    return x\r\n"),
    same("byte_order_mark", "def f(x): return x\n", "\ufeffdef f(x): return x\n"),
    same("encoding_declared_as_the_usual", "def f(x): return 'é'\n", "# -*- coding: utf-8 -*-\ndef f(x): return 'é'\n"),
    same(
        "parentheses_around_imports",
        "from os import path, sep\ndef f(x): return sep * x\n",
        "from os import (\n    path,\n    sep,\n)\ndef f(x): return sep * x\n",
    ),
]
if sys.version_info >= (3, 12):
    CASES += [
        body(
            "generic_function",
            "def g[T](x: T) -> T: return x\ndef f(x): return g(x)\n",
            "def g[T](x: T) -> T: return (x, x)\ndef f(x): return g(x)\n",
        ),
        body(
            "generic_class",
            "class Box[T]:\n    size = 1\ndef f(x): return Box[int]().size\n",
            "class Box[T]:\n    size = 2\ndef f(x): return Box[int]().size\n",
        ),
        body(
            "type_statement",
            "type Number = int\ndef f(x): return str(Number.__value__)\n",
            "type Number = float\ndef f(x): return str(Number.__value__)\n",
        ),
        body(
            "base_of_a_generic_class",
            "class Base[T]:\n    def go(self) -> T: return 1\nclass Model[T](Base[T]): pass\ndef f(x): return Model[int]().go()\n",
            "class Base[T]:\n    def go(self) -> T: return 2\nclass Model[T](Base[T]): pass\ndef f(x): return Model[int]().go()\n",
        ),
        body(
            "bound_of_a_type_parameter",
            "def kind(): return 1\ndef g[T: kind()](x: T): return x\ndef f(x): return g.__type_params__[0].__bound__\n",
            "def kind(): return 2\ndef g[T: kind()](x: T): return x\ndef f(x): return g.__type_params__[0].__bound__\n",
        ),
        body(
            "bound_of_a_type_parameter_of_a_class",
            "def kind(): return 1\nclass Box[T: kind()]: pass\ndef f(x): return Box.__type_params__[0].__bound__\n",
            "def kind(): return 2\nclass Box[T: kind()]: pass\ndef f(x): return Box.__type_params__[0].__bound__\n",
        ),
        body(
            "function_called_by_a_type_statement",
            "type Number[T] = kind()\ndef kind(): return 1\ndef f(x): return Number.__value__\n",
            "type Number[T] = kind()\ndef kind(): return 2\ndef f(x): return Number.__value__\n",
        ),
        body(
            "function_called_inside_a_nested_format",
            "def width(): return 5\ndef f(x): return f'{f'{x:{width()}}!'}'\n",
            "def width(): return 6\ndef f(x): return f'{f'{x:{width()}}!'}'\n",
        ),
        hit(
            "global_hidden_by_a_type_parameter",
            "from helper import f",
            "f(cfg.x)",
            {"helper.py": "T = 1\ndef f[T](x): return T.__name__\n"},
            {"helper.py": ("T = 1", "T = 2")},
        ),
        body("quotes_inside_an_f_string", "def f(x): return f'{'a'}'\n", "def f(x): return f'{'b'}'\n"),
        hit(
            "unused_type_statement",
            "from helper import f",
            "f(cfg.x)",
            {"helper.py": "type Number = int\ndef f(x): return x\n"},
            {"helper.py": ("= int", "= float")},
        ),
    ]
if sys.version_info >= (3, 13):
    CASES += [
        body(
            "default_of_a_type_parameter",
            "def kind(): return 1\ndef g[T = kind()](x: T): return x\ndef f(x): return g.__type_params__[0].__default__\n",
            "def kind(): return 2\ndef g[T = kind()](x: T): return x\ndef f(x): return g.__type_params__[0].__default__\n",
        ),
    ]
