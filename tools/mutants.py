"""Small faults in source files, as cosmic-ray makes them."""

import ast
import hashlib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Faults that a person could make. cosmic-ray has more, such as a shift of bits where there is a product, which fail at
# the first call, or `is` for `==`, which changes nothing between small integers.
_ARITHMETIC = "Add|Sub|Mul|Div|Pow|FloorDiv|Mod"
_ORDER = "Eq|NotEq|Lt|LtE|Gt|GtE"
_OPERATORS = re.compile(
    rf"core/(ReplaceBinaryOperator_({_ARITHMETIC})_({_ARITHMETIC})"
    rf"|ReplaceComparisonOperator_(({_ORDER})_({_ORDER})|Is_IsNot|IsNot_Is)"
    r"|ReplaceUnaryOperator_(USub_UAdd|Delete_USub|Delete_Invert|Delete_Not)"
    r"|AddNot|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd|ReplaceBreakWithContinue"
    r"|ReplaceContinueWithBreak|NumberReplacer|RemoveDecorator|ZeroIterationForLoop)"
)

Position = tuple[int, int]


@dataclass(frozen=True)
class Mutant:
    """A fault, given by an operator of cosmic-ray and the index of its occurrence in a file."""

    path: str
    operator: str
    occurrence: int
    line: int

    @property
    def key(self) -> str:
        """Name of the fault in the list of results; another one once the file has changed."""
        digest = hashlib.sha256(Path(self.path).read_bytes()).hexdigest()[:12]
        return f"{self.path}:{digest}:{self.operator}:{self.occurrence}"

    def source(self) -> str:
        """Return the text of the file with the fault."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        return mutate_code(Path(self.path).read_text(), get_operator(self.operator)(), self.occurrence)


def sample(paths: list[Path], size: int, seed: int) -> list[Mutant]:
    """Draw faults at `size` places, each place as likely as any other, in random order.

    A multiplication can be replaced by six other operations and a number only by two. Drawing places first keeps
    operators with many replacements from crowding the sample.
    """
    places = [place for path in paths for place in _places(path)]
    chance = random.Random(seed)
    chance.shuffle(places)
    return [chance.choice(faults) for faults in places[:size]]


def _places(path: Path) -> list[list[Mutant]]:
    """List the faults at every place of a file."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast_from_path(path)))
    annotations = list(_annotations(ast.parse(path.read_text())))
    places: dict[tuple[Position, Position], list[Mutant]] = {}
    for name in sorted(filter(_OPERATORS.fullmatch, operator_names())):
        operator = get_operator(name)()
        positions = [position for node in nodes for position in operator.mutation_positions(node)]
        for occurrence, (start, stop) in enumerate(positions):
            # A fault in an annotation is one of the documentation: most of these cannot be imported.
            if not any(first <= start and stop <= last for first, last in annotations):
                places.setdefault((start, stop), []).append(Mutant(str(path), name, occurrence, start[0]))
    return [places[key] for key in sorted(places)]


def _annotations(tree: ast.AST) -> Iterator[tuple[Position, Position]]:
    """Yield where annotations begin and end, as (line from 1, column from 0)."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            found = getattr(node, name, None)
            if isinstance(found, ast.expr):
                yield (found.lineno, found.col_offset), (found.end_lineno or 0, found.end_col_offset or 0)
