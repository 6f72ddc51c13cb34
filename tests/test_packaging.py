"""The files that say which versions molspectra is tested with agree with pyproject.toml."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pinned(name: str) -> dict[str, set[str]]:
    """Return the versions that a file of constraints names, by package."""
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / name).read_text(), re.MULTILINE):
        versions.setdefault(package, set()).add(version)
    return versions


def lower_bounds() -> dict[str, str]:
    """Return the lowest version of every package that users and tests need, as pyproject.toml has it."""
    # Python 3.10 has no tomllib.
    bounds = dict(re.findall(r'"([\w-]+)>=([\w.]+)"', (ROOT / "pyproject.toml").read_text()))
    untested = {"setuptools", "torch-scatter", "cosmic-ray", "myopic-mces"}
    developers = {"sphinx", "sphinx-copybutton", "sphinx-gallery", "furo", "myst-parser", "latex2mathml"}
    developers |= {"ruff", "mypy", "pre-commit", "build"}
    return {package: bound for package, bound in bounds.items() if package not in untested | developers}


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    oldest = pinned("constraints-oldest.txt")
    for package, bound in lower_bounds().items():
        (version,) = oldest.pop(package)
        assert re.fullmatch(rf"{re.escape(bound)}(\.0)*|{re.escape(bound)}\.1", version), (
            f"{package}: {bound}, {version}"
        )
    assert not oldest, f"constraints-oldest.txt pins packages that pyproject.toml does not ask for: {sorted(oldest)}"


def test_every_package_has_a_tested_version() -> None:
    missing = lower_bounds().keys() - pinned("constraints.txt").keys()
    assert not missing, f"constraints.txt lacks {sorted(missing)}"


@pytest.mark.parametrize("line", re.findall(r"^# (make [\w-]+)", (ROOT / "Makefile").read_text(), re.MULTILINE))
def test_the_help_of_the_makefile_names_its_targets(line: str) -> None:
    target = line.removeprefix("make ")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
