"""Rules that act in bulk: ``mislabel and confidence > 0.9 -> relabel to suggested``.

A condition is a Python expression of names, numbers, texts, ``and or not in == != < <= > >=`` and
brackets. It is parsed by Python and translated to Polars node by node; nothing else gets through,
and nothing is ever run.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import polars as pl

from imagemill.errors import ConfigError, suggest

Action = Literal["keep", "remove", "relabel"]

TEXTS = ("sample", "source", "key", "label", "identity", "group", "split", "format", "mode")
TRUTHS = ("gps", "exif")
NUMBERS = (
    *("width", "height", "bytes", "bits", "aspect", "frames", "quality"),
    *("sharpness", "brightness", "contrast", "entropy", "saturation"),
)
OF_FLAGS = ("confidence", "suggested")
"""What a flag may say beside its name: alone of the flags that the rule names, or ``flag.``..."""

COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], pl.Expr]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@dataclass(frozen=True)
class Rule:
    """One rule, as it was read."""

    number: int
    """From 1, in the order of the config."""
    text: str
    condition: ast.expr
    action: Action
    label: str | None
    """The new label of ``relabel``; None: the suggested one."""

    @property
    def codes(self) -> list[str]:
        """Return the flags that the condition names, sorted."""
        known = {*TEXTS, *TRUTHS, *NUMBERS, *OF_FLAGS}
        names = {node.id for node in ast.walk(self.condition) if isinstance(node, ast.Name)}
        return sorted(names - known)


def parse(text: str, number: int) -> Rule:
    """Return a rule; raises ``ValueError`` saying what cannot be read."""
    said, arrow, deed = text.replace("→", "->").rpartition("->")
    if not arrow:
        raise ValueError(f"rule {number}, {text!r}: has no `-> action`")
    try:
        condition = ast.parse(said.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"rule {number}, {text!r}: {error}") from error
    rule = Rule(number, text, condition, *_deed(deed.split(maxsplit=2), f"rule {number}, {text!r}"))
    if rule.action == "relabel" and rule.label is None and not rule.codes:
        raise ValueError(f"rule {number}, {text!r}: names no flag that could suggest a label")
    _truth(condition, _Names(rule, dict.fromkeys(rule.codes, True)))
    return rule


def _deed(words: list[str], where: str) -> tuple[Action, str | None]:
    match words:
        case ["keep"]:
            return "keep", None
        case ["remove"]:
            return "remove", None
        case ["relabel", "to", "suggested"]:
            return "relabel", None
        case ["relabel", "to", label]:
            return "relabel", label.strip().strip("'\"")
    raise ValueError(
        f"{where}: after `->` comes keep, remove, `relabel to suggested` or `relabel to LABEL`"
    )


def touched(rule: Rule, rows: pl.DataFrame, evidence: pl.DataFrame) -> pl.DataFrame:
    """Return ``sample`` and ``suggested`` of the rows for which the rule holds.

    ``rows`` are samples with facts, ``evidence`` what was said of them (``tables.EVIDENCE``), of
    which all flags that the rule names are known. Raises ``ConfigError`` where types do not fit.
    """
    names = _Names(rule, dict.fromkeys(rule.codes, True))
    said = _said(evidence, rule.codes)
    try:
        condition = _truth(rule.condition, names).fill_null(value=False)
        label = names.label()
        held = rows.join(said, on="sample", how="left", maintain_order="left").filter(condition)
        return held.select("sample", suggested=label.cast(pl.String))
    except pl.exceptions.PolarsError as error:
        what = str(error).splitlines()[0]
        raise ConfigError(f"clean.rules: rule {rule.number}, {rule.text!r}: {what}") from error


def refuse_unknown(rule: Rule, known: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` where the rule names a flag that nobody ever raises."""
    for code in rule.codes:
        if code not in known:
            near = suggest(code, {*known, *TEXTS, *TRUTHS, *NUMBERS, *OF_FLAGS})
            raise ConfigError(
                f"clean.rules: rule {rule.number}, {rule.text!r}: {code}: neither a check nor a "
                f"flag of an audit nor a fact{near}"
            )


def _said(evidence: pl.DataFrame, codes: list[str]) -> pl.DataFrame:
    """Return for each sample what is said of it under each of ``codes``, in columns."""
    rows = evidence.filter(pl.col("code").is_in(codes))
    surest = {"by": "confidence", "descending": True, "nulls_last": True}
    parts = []
    for code in codes:
        mine = pl.col("code") == code
        label = pl.col("suggested").sort_by(**surest, maintain_order=True)  # type: ignore[arg-type]
        parts += [
            mine.any().alias(f"{code}"),
            pl.col("confidence").filter(mine).max().alias(f"{code}.confidence"),
            label.filter(mine.sort_by(**surest, maintain_order=True))  # type: ignore[arg-type]
            .drop_nulls()
            .first()
            .alias(f"{code}.suggested"),
        ]
    return rows.group_by("sample").agg(parts)


@dataclass(frozen=True)
class _Names:
    """What the names of a condition mean."""

    rule: Rule
    codes: Mapping[str, bool]

    def column(self, name: str) -> pl.Expr:
        """Return the values of a name that is no flag."""
        if name == "confidence":
            return pl.max_horizontal([f"{code}.confidence" for code in self._asked()])
        if name == "suggested":
            best = self.column("confidence")
            sure = [
                pl.when(pl.col(f"{code}.confidence") == best).then(f"{code}.suggested")
                for code in self._asked()
            ]
            return pl.coalesce([*sure, *(f"{code}.suggested" for code in self._asked())])
        return pl.col(name)

    def label(self) -> pl.Expr:
        """Return the new label; null where the rule gives none."""
        if self.rule.action == "relabel" and self.rule.label is None:
            return self.column("suggested")
        return pl.lit(self.rule.label, pl.String)

    def _asked(self) -> list[str]:
        if not self.codes:
            raise self.odd("confidence and suggested belong to a flag; name one")
        return sorted(self.codes)

    def odd(self, said: str) -> ValueError:
        """Return the error that something in the condition means nothing."""
        return ValueError(f"rule {self.rule.number}, {self.rule.text!r}: {said}")


def _truth(node: ast.expr, names: _Names) -> pl.Expr:
    """Return the expression of what is true or false."""
    match node:
        case ast.BoolOp(op=op, values=values):
            both = operator.and_ if isinstance(op, ast.And) else operator.or_
            return reduce(both, (_truth(each, names) for each in values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_truth(operand, names)
        case ast.Compare(left=left, ops=ops, comparators=others):
            sides = zip([left, *others], ops, others, strict=False)
            return reduce(operator.and_, (_compared(*each, names) for each in sides))
    return _there(node, names)


def _there(node: ast.expr, names: _Names) -> pl.Expr:
    """Return whether a flag was raised, or a text is known."""
    match node:
        case ast.Name(id=name) if name in names.codes:
            return pl.col(name).fill_null(value=False)
        case ast.Name(id=name) if name in TRUTHS:
            return pl.col(name)
        case ast.Name(id=name) if name in (*TEXTS, "suggested"):
            return names.column(name).is_not_null()
        case ast.Attribute(attr="suggested"):
            return _value(node, names).is_not_null()
    raise names.odd(f"`{ast.unparse(node)}` is neither true nor false")


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, names: _Names) -> pl.Expr:
    if isinstance(op, ast.In | ast.NotIn):
        if not isinstance(right, ast.List | ast.Tuple | ast.Set):
            raise names.odd("`in` needs a list, such as ['cat', 'dog']")
        inside = _value(left, names).is_in([_constant(each, names) for each in right.elts])
        return inside if isinstance(op, ast.In) else ~inside
    if type(op) not in COMPARED:
        raise names.odd(f"`{ast.unparse(left)} is ...`: write == or !=")
    return COMPARED[type(op)](_value(left, names), _value(right, names))


def _value(node: ast.expr, names: _Names) -> pl.Expr:
    """Return the expression of a number or text."""
    match node:
        case ast.Name(id=name) if name in (*TEXTS, *NUMBERS, *OF_FLAGS):
            return names.column(name)
        case ast.Attribute(value=ast.Name(id=code), attr=attr) if attr in OF_FLAGS:
            if code in names.codes:
                return pl.col(f"{code}.{attr}")
        case ast.Name(id=name):
            raise names.odd(f"{name} is a flag: there or not; {name}.confidence is a number")
    return pl.lit(_constant(node, names))


def _constant(node: ast.expr, names: _Names) -> str | float:
    match node:
        case ast.Constant(value=str() | int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise names.odd(f"`{ast.unparse(node)}` is not understood; see docs/cleaning.md for what is")
