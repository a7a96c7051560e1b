"""Choosing particles by conditions on their values, such as `rlnDefocusU > 15000 & z1 < 0`.

    conditions  =  all {"|" all}
    all         =  one {"&" one}
    one         =  "~" one  |  "(" conditions ")"  |  value comparison value {comparison value}
    comparison  =  "<"  "<="  ">"  ">="  "=="  "!="
    value       =  a number, the name of a column, latent, contrast or cluster, or text in quotes

`or`, `and`, `not` and `=` mean the same as `|`, `&`, `~` and `==`. Nothing of it is run as Python.
"""

import difflib
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_sbackprop.analysis.qualities import EVIDENCE, MOVEMENT
from napari_sbackprop.errors import InputError

Mask = npt.NDArray[np.bool_]
Values = Mapping[str, npt.NDArray[Any]]
Evaluate = Callable[[Values], Any]

CLUSTER = "cluster"
CONTRAST = "contrast"
EXAMPLE = "rlnDefocusU > 15000 & z1 < 0"

_WORD = re.compile(
    r"""\s*(?:
    (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>[^\W\d][\w.]*)
    | (?P<text>"[^"]*"|'[^']*')
    | (?P<sign><=|>=|==|!=|[<>=&|~()])
    | (?P<wrong>\S[^\s<>=&|~()]*)
    )""",
    re.VERBOSE,
)
_SYNONYMS = {"and": "&", "or": "|", "not": "~", "=": "=="}
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_DEEPEST = 50
_ABSENT = {
    CLUSTER: "there are no clusters yet: make some first (k-means, GMM or HDBSCAN)",
    CONTRAST: "this run has not measured it: leave that condition out",
    EVIDENCE: "this epoch has no model to tell it: leave that condition out",
    MOVEMENT: "there is no epoch before this one to tell it: take a later epoch",
}
"""Why a run may lack what others have."""


@dataclass(frozen=True)
class Query:
    """Conditions on particles, understood.

    Attributes
    ----------
    text : as it was written.
    names : columns, latents, contrast or cluster that it asks for.
    """

    text: str
    names: frozenset[str]
    _holds: Evaluate

    def mask(self, values: Values) -> Mask:
        """Which of N particles fulfil the conditions: (N,) bool; no comparison with a NaN holds.

        Parameters
        ----------
        values : numbers or text (N,) by name.

        Raises
        ------
        InputError
            A name that `values` lacks, or a text compared with a number.
        """
        for name in sorted(self.names):
            if name not in values:
                raise InputError(_unknown(name, values))
        return np.asarray(self._holds(values), dtype=bool)


def parse_query(text: str) -> Query:
    """Understand conditions.

    Raises
    ------
    InputError
        What cannot be understood; the sentence names the word.
    """
    reader = _Reader(text)
    holds = reader.conditions()
    if reader.word is not None:
        raise InputError(f"The query cannot be read from {reader.word!r} on: join conditions by & or |.")
    return Query(text, frozenset(reader.names), holds)


def particle_values(
    latents: npt.NDArray[np.float32],
    contrast: npt.NDArray[np.float32],
    columns: Values,
    clusters: npt.NDArray[np.int64] | None,
) -> Values:
    """What a query may name: columns, z1 ... zZ, the contrast where it is known, the cluster where there is one.

    Parameters
    ----------
    latents : (N, Z).
    contrast : (N,), NaN where it was not measured.
    columns : (N,) by name, of the STAR file and of `particle_qualities`.
    clusters : (N,) labels, or None.
    """
    values = {**columns, **{f"z{i + 1}": column for i, column in enumerate(latents.T)}}
    if not np.isnan(contrast).all():
        values[CONTRAST] = contrast
    if clusters is not None:
        values[CLUSTER] = clusters
    return values


class _Reader:
    """Reads a query from left to right; `word` is the one to come, None at the end."""

    def __init__(self, text: str) -> None:
        self.names: set[str] = set()
        self._words = [
            (match.lastgroup or "", match[match.lastgroup or 0]) for match in _WORD.finditer(text.rstrip())
        ]
        self._place = self._depth = 0

    @property
    def word(self) -> str | None:
        return self._words[self._place][1] if self._place < len(self._words) else None

    def _next_is(self, *signs: str) -> bool:
        return self.word is not None and _SYNONYMS.get(self.word.lower(), self.word) in signs

    def _take(self) -> str:
        word = self._words[self._place][1]
        self._place += 1
        return _SYNONYMS.get(word.lower(), word)

    def conditions(self) -> Evaluate:
        return self._joined("|", operator.or_, lambda: self._joined("&", operator.and_, self._one))

    def _joined(self, sign: str, join: Callable[[Any, Any], Any], read: Callable[[], Evaluate]) -> Evaluate:
        parts = [read()]
        while self._next_is(sign):
            self._take()
            parts.append(read())
        return lambda values: reduce(join, [part(values) for part in parts])

    def _one(self) -> Evaluate:
        if not self._next_is("~", "("):
            return self._comparison()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise InputError(
                f"The query has more than {_DEEPEST} brackets within brackets: write it flatter."
            )
        if self._take() == "~":
            inner = self._one()
            result: Evaluate = partial(_negated, inner)
        else:
            result = self.conditions()
            if not self._next_is(")"):
                before = "its end" if self.word is None else repr(self.word)
                raise InputError(f"The query lacks a closing bracket before {before}.")
            self._take()
        self._depth -= 1
        return result

    def _comparison(self) -> Evaluate:
        operands, signs = [self._value()], []
        while self._next_is(*_COMPARISONS):
            signs.append(self._take())
            operands.append(self._value())
        if not signs and self.word is not None and not self._next_is("&", "|", ")"):
            raise InputError(f"The query has {self.word!r} where a comparison belongs, as in {EXAMPLE}.")
        if not signs:
            raise InputError(f"The query says nothing about {operands[0].word}: compare it, as in {EXAMPLE}.")
        for left, right in pairwise(operands):
            if not (left.is_name or right.is_name):
                raise InputError(f"The query compares {left.word} with {right.word}: one must be a column.")
        comparisons = [
            partial(_compare, left, sign, right)
            for (left, right), sign in zip(pairwise(operands), signs, strict=True)
        ]
        return lambda values: reduce(operator.and_, [compare(values) for compare in comparisons])

    def _value(self) -> "_Operand":
        if self.word is None:
            raise InputError(f"The query ends too early: write conditions such as {EXAMPLE}.")
        kind = self._words[self._place][0]
        if kind in ("sign", "wrong") or self._next_is("&", "|", "~"):
            raise InputError(
                f"The query has {self.word!r} where a name or a number belongs, as in {EXAMPLE}."
            )
        word = self._take()
        if kind == "number":
            return _Operand(word, lambda _: float(word))
        if kind == "text":
            return _Operand(word, lambda _: word[1:-1])
        name = word.removeprefix("_") if word.startswith("_rln") else word  # as STAR files write labels
        self.names.add(name)
        return _Operand(name, operator.itemgetter(name), is_name=True)


def _negated(holds: Evaluate, values: Values) -> Any:
    return ~holds(values)


@dataclass(frozen=True)
class _Operand:
    """One side of a comparison: the word, and what it stands for."""

    word: str
    value: Evaluate
    is_name: bool = False


def _compare(left: _Operand, sign: str, right: _Operand, values: Values) -> Any:
    first, second = left.value(values), right.value(values)
    if _is_text(first) != _is_text(second):
        text, number = (left, right) if _is_text(first) else (right, left)
        raise InputError(
            f"The query compares {text.word}, which is text, with {number.word}, which is a number."
        )
    return _COMPARISONS[sign](first, second)


def _is_text(value: Any) -> bool:
    return np.asarray(value).dtype.kind not in "iufb"


def _unknown(name: str, known: Iterable[str]) -> str:
    if name in _ABSENT:
        return f"The query names {name}, but {_ABSENT[name]}."
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, 1)
    remedy = f"did you mean {by_lower[close[0]]}?" if close else "text needs quotes."
    return f"The query names {name}, which is no column, latent or cluster of this run: {remedy}"
