"""The normal form of source: what cannot change behaviour is gone, all else is there."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from parcache.keys.normal_form import normal_form

pytestmark = pytest.mark.any_hydra


def form(text: str, *, docs: bool = False) -> bytes:
    return normal_form(ast.parse(dedent(text)), keep_docstrings=docs)


SAME = {
    "comment": ("x = 1", "# why\nx = 1  # because\n"),
    "blank lines": ("x = 1\ny = 2", "x = 1\n\n\ny = 2\n"),
    "semicolon": ("x = 1\ny = 2", "x = 1; y = 2"),
    "quotes": ("x = 'a'", 'x = "a"'),
    "triple quotes": ("x = 'a'", 'x = """a"""'),
    "raw string": ("x = 'a'", "x = r'a'"),
    "unicode prefix": ("x = 'a'", "x = u'a'"),
    "escape": ("x = 'a'", "x = '\\x61'"),
    "implicit concatenation": ("x = 'ab'", "x = 'a' 'b'"),
    "number spelling": ("x = 1000", "x = 1_000"),
    "base": ("x = 255", "x = 0xFF"),
    "redundant parentheses": ("x = a + b", "x = (a + b)"),
    "line breaks": ("f(a, b)", "f(\n    a,\n    b,\n)"),
    "indentation": ("if a:\n    b()", "if a:\n  b()"),
    "module docstring": ("x = 1", '"""About."""\nx = 1'),
    "function docstring": ("def f():\n    return 1", 'def f():\n    """About."""\n    return 1'),
    "async function docstring": ("async def f():\n    return 1", 'async def f():\n    "About."\n    return 1'),
    "class docstring": ("class A:\n    x = 1", 'class A:\n    """About."""\n    x = 1'),
    "type comment": ("x = []", "x = []  # type: list[int]"),
}
DIFFERENT = {
    "try to else": ("try:\n    a()\n    b()\nexcept E:\n    c()", "try:\n    a()\nexcept E:\n    c()\nelse:\n    b()"),
    "keyword-only default": ("def f(*, a=1): pass", "def f(*, a=2): pass"),
    "keyword-only default gone": ("def f(*, a=1, b): pass", "def f(*, a, b=1): pass"),
    "keyword-only": ("def f(a): pass", "def f(*, a): pass"),
    "positional-only": ("def f(a, b): pass", "def f(a, /, b): pass"),
    "default": ("def f(a, b=1): pass", "def f(a=1, b=1): pass"),
    "decorator": ("def f(): pass", "@d\ndef f(): pass"),
    "decorator argument": ("@d(1)\ndef f(): pass", "@d(2)\ndef f(): pass"),
    "decorator order": ("@a\n@b\ndef f(): pass", "@b\n@a\ndef f(): pass"),
    "format spec": ("f'{x:.2f}'", "f'{x:.3f}'"),
    "conversion": ("f'{x!r}'", "f'{x!s}'"),
    "nested format spec": ("f'{x:{w}}'", "f'{x:{v}}'"),
    "debug f-string": ("f'{x=}'", "f'{x = }'"),
    "f-string text": ("f'a{x}'", "f'b{x}'"),
    "int and float": ("x = 1", "x = 1.0"),
    "int and bool": ("x = 1", "x = True"),
    "str and bytes": ("x = 'a'", "x = b'a'"),
    "None and name": ("x = None", "x = Nothing"),
    "complex": ("x = 1j", "x = 2j"),
    "float and complex": ("x = 1.0", "x = 1j"),
    "ellipsis": ("x = ...", "x = None"),
    "sign": ("x = 0.0", "x = -0.0"),
    "tuple and list": ("x = (1, 2)", "x = [1, 2]"),
    "set order": ("x = {1, 2}", "x = {2, 1}"),
    "operator": ("x = a + b", "x = a - b"),
    "comparison": ("x = a is b", "x = a == b"),
    "grouping": ("x = a + b * c", "x = (a + b) * c"),
    "augmented": ("x += 1", "x = x + 1"),
    "async": ("def f(): pass", "async def f(): pass"),
    "await": ("async def f(): await g()", "async def f(): g()"),
    "yield": ("def f(): yield x", "def f(): yield from x"),
    "star": ("f(a)", "f(*a)"),
    "double star": ("f(*a)", "f(**a)"),
    "keyword": ("f(a=1)", "f(b=1)"),
    "dict unpacking": ("x = {**a}", "x = {'a': a}"),
    "base class": ("class A(B): pass", "class A(C): pass"),
    "metaclass": ("class A(metaclass=M): pass", "class A(metaclass=N): pass"),
    "class keyword": ("class A(B, tag=1): pass", "class A(B, tag=2): pass"),
    "annotation": ("x: int = 1", "x: float = 1"),
    "annotation parentheses": ("x: int", "(x): int"),
    "return annotation": ("def f() -> int: pass", "def f() -> str: pass"),
    "global": ("def f():\n    global x\n    x = 1", "def f():\n    nonlocal x\n    x = 1"),
    "relative level": ("from . import a", "from .. import a"),
    "import alias": ("import a as b", "import a as c"),
    "future import": ("x = 1", "from __future__ import annotations\nx = 1"),
    "with": ("with a: b()", "async def f():\n    async with a: b()"),
    "except order": (
        "try: a()\nexcept A: b()\nexcept B: c()",
        "try: a()\nexcept B: c()\nexcept A: b()",
    ),
    "except name": ("try: a()\nexcept A: b()", "try: a()\nexcept A as e: b()"),
    "finally": ("try: a()\nexcept A: b()\nfinally: c()", "try: a()\nexcept A: b()\nc()"),
    "loop else": ("for a in b: c()\nelse: d()", "for a in b: c()\nd()"),
    "statement moved into block": ("if a:\n    b()\nc()", "if a:\n    b()\n    c()"),
    "comprehension kind": ("x = [a for a in b]", "x = {a for a in b}"),
    "generator": ("x = [a for a in b]", "x = (a for a in b)"),
    "comprehension condition": ("x = [a for a in b if c]", "x = [a for a in b if d]"),
    "async comprehension": (
        "async def f(): return [a for a in b]",
        "async def f(): return [a async for a in b]",
    ),
    "lambda default": ("f = lambda a=1: a", "f = lambda a=2: a"),
    "walrus": ("if (a := b): pass", "if a == b: pass"),
    "slice": ("x[1:]", "x[:1]"),
    "slice step": ("x[::1]", "x[::2]"),
    "match pattern": ("match a:\n    case 1: b()", "match a:\n    case [1]: b()"),
    "match guard": ("match a:\n    case 1 if c: b()", "match a:\n    case 1: b()"),
    "match singleton": ("match a:\n    case None: b()", "match a:\n    case _: b()"),
    "match star": ("match a:\n    case [x, *_]: b()", "match a:\n    case [x, *y]: b()"),
    "string after first statement": ("x = 1", "x = 1\n'text'"),
    "string value": ("x = 'a'", "x = 'b'"),
    "returned string": ("def f():\n    return 'a'", "def f():\n    return 'b'"),
    "string split otherwise": ("f('ab', 'c')", "f('a', 'bc')"),
    "del": ("del a", "a"),
    "assert message": ("assert a, 'b'", "assert a, 'c'"),
    "raise cause": ("raise a", "raise a from b"),
    "definition order": ("def f(): pass\nx = f()", "x = f()\ndef f(): pass"),
    "chained comparison": ("a < b < c", "a < b and b < c"),
}


@pytest.mark.parametrize("name", SAME)
def test_normal_form_spelling_changed_same(name: str) -> None:
    """What only changes how code is written does not change its form."""
    first, second = SAME[name]
    assert form(first) == form(second)


@pytest.mark.parametrize("name", DIFFERENT)
def test_normal_form_meaning_changed_different(name: str) -> None:
    """What can change what code does changes its form."""
    first, second = DIFFERENT[name]
    assert form(first) != form(second)


def test_normal_form_all_different_snippets_no_two_share() -> None:
    """No two of many snippets share a form."""
    texts = {text for pair in DIFFERENT.values() for text in pair}
    assert len({form(text) for text in texts}) == len(texts)


def test_normal_form_docstrings_kept_counts_them() -> None:
    """Where code reads docstrings, they count."""
    assert form("def f():\n    'a'", docs=True) != form("def f():\n    'b'", docs=True)


def test_normal_form_docstrings_kept_comments_do_not_count() -> None:
    """Where code reads docstrings, comments still do not count."""
    assert form("'a'\nx = 1", docs=True) == form("'a'\n# c\nx = 1", docs=True)


def test_normal_form_lone_surrogate_has_one() -> None:
    """Source with a string that no encoding can write has a form."""
    assert form("x = '\\ud800'") != form("x = '\\ud801'")


def test_normal_form_huge_integer_has_one() -> None:
    """Source with an integer past the limit of decimal text has a form."""
    assert form(f"x = 0x1{'0' * 5000}") != form(f"x = 0x2{'0' * 5000}")


def test_normal_form_folded_constants_order_of_set_does_not_count() -> None:
    """Constants folded by an optimiser have a form that does not depend on the hash seed."""
    first, second = (ast.Constant(value=frozenset(items)) for items in (["a", "b", "c"], ["c", "b", "a"]))
    assert normal_form(first) == normal_form(second)
