"""Names of the rows of a library."""

from collections import Counter
from collections.abc import Sequence


def checked_ids(ids: Sequence[str], rows: int) -> list[str]:
    """Return ids as a list, one per row.

    Raises:
        TypeError: they are one string, or not strings.
        ValueError: their number is not that of the rows, or an id occurs twice.
    """
    if isinstance(ids, str) or not all(isinstance(name, str) for name in ids):
        raise TypeError(
            "ids must be a sequence of strings, one per row; got others. Convert with [str(i) for i in ids]."
        )
    if len(ids) != rows:
        raise ValueError(f"ids must have one entry per row; got {len(ids)} for {rows} rows.")
    if len(set(ids)) < len(ids):
        name, count = Counter(ids).most_common(1)[0]
        raise ValueError(
            f"ids must be different; {name!r} occurs {count} times. Number the conformers of a molecule, as in "
            f"{name + '#1'!r}, or leave ids out."
        )
    return list(ids)
