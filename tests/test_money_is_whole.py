"""Money is whole numbers: no float comes near it, neither in the code nor in what the database gives back."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatcher
from dispatcher.audit.tables import metadata

PACKAGE = Path(dispatcher.__file__).parent
SOURCES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}

# These do nothing but money.
MONEY_ONLY = [
    "prices.py",
    "paths/sums.py",
    "audit/adjustments.py",
    "audit/budget.py",
    "telemetry/cost_parts.py",
    "telemetry/repricing.py",
    "telemetry/reconciling.py",
    "telemetry/exporter.py",
    "cli/prices.py",
]
# A verdict's means and bounds are real numbers, made of sums that the database added up in whole ones.
STATISTICS = "verdict/"


def _floats(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
        if is_float or _is_division(node) or _makes_float(node):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _divided(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if (_is_division(node) or _makes_float(node)) and _mentions_money(node):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _is_division(node: ast.AST) -> bool:
    if not isinstance(node, ast.BinOp | ast.AugAssign) or not isinstance(node.op, ast.Div):
        return False
    # A path is put together with the same sign, and a decimal stays one.
    return "'" not in ast.unparse(node) and "Decimal(" not in ast.unparse(node)


def _makes_float(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"float", "sa.Float", "sa.Double", "math.fsum"}


def _mentions_money(node: ast.AST) -> bool:
    names = (one.attr if isinstance(one, ast.Attribute) else getattr(one, "id", "") for one in ast.walk(node))
    return any("nanousd" in str(name).lower() for name in names)


@pytest.mark.parametrize("name", MONEY_ONLY)
def test_modules_of_money_have_no_float_and_divide_to_none(name: str) -> None:
    """Fractions of a progress bar apart, which are no money."""
    assert [found for found in _floats(SOURCES[name]) if "done" not in found and "1.0" not in found] == []


def test_no_amount_of_nano_dollars_is_divided_or_made_a_float_anywhere() -> None:
    found = {name: list(_divided(tree)) for name, tree in SOURCES.items() if not name.startswith(STATISTICS)}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_check_sees_what_it_looks_for() -> None:
    assert list(_divided(ast.parse("row.cost_nanousd / 3"))) == ["line 1: row.cost_nanousd / 3"]
    assert list(_divided(ast.parse("float(NANOUSD_PER_CENT)"))) == ["line 1: float(NANOUSD_PER_CENT)"]
    found = _floats(ast.parse("a = 0.5\nb /= 2\nc = float(d)"))
    assert sorted(found) == ["line 1: 0.5", "line 2: b /= 2", "line 3: float(d)"]
    assert list(_divided(ast.parse("row.cost_nanousd // 3"))) == []


def test_every_column_of_money_and_tokens_is_a_64_bit_integer() -> None:
    columns = [column for table in metadata.tables.values() for column in table.columns]
    counted = [column for column in columns if column.name.endswith(("_nanousd", "_tokens"))]

    assert len(counted) > 20
    assert {type(column.type).__name__ for column in counted} == {"BigInteger"}
    assert {column.type.python_type for column in counted} == {int}
