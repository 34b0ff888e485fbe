"""Optional packages: which extra of this distribution installs them, told where one is missing.

>>> missing_package(ModuleNotFoundError("No module named 'cma'", name="cma"))
"needs the package 'cma': pip install 'zerograds[baselines]'"
"""

import importlib
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from types import ModuleType

from zg.errors import SettingError

DISTRIBUTION = "zerograds"
# Modules that are not called what the package is called on PyPI.
PACKAGES = {
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "drjit": "mitsuba",
    "mathutils": "bpy",
    "dfols": "DFO-LS",
}
# As the metadata write it: cma>=4; python_version >= "3.11" and extra == "baselines".
REQUIREMENT = re.compile(r"([\w.-]+).*;.*\bextra == ['\"]([\w-]+)['\"]")

# How Lightning names a package that one of its loggers lacks, in errors of several kinds.
UNMET = re.compile(r"Requirement '([\w.-]+)[^']*' not met")


@cache
def extras() -> dict[str, tuple[str, str]]:
    """{package in lower case: (package, extra)} of every package that an extra installs; the first such extra."""
    found: dict[str, tuple[str, str]] = {}
    try:
        requirements = requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # the clone is on the path and is not installed
        requirements = []
    for requirement in requirements:
        if match := REQUIREMENT.match(requirement):
            package, extra = match.groups()
            found.setdefault(package.lower(), (package, extra))
    return found


def missing_package(error: Exception) -> str:
    """What is missing and how to install it, where an extra has it; empty for any other error."""
    names = UNMET.findall(str(error))
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        names.append(PACKAGES.get(error.name, error.name))
    package, extra = next((extras()[name.lower()] for name in names if name.lower() in extras()), ("", ""))
    return f"needs the package '{package}': pip install '{DISTRIBUTION}[{extra}]'" if extra else ""


def load_package(module: str, user: str) -> ModuleType:
    """Import a module of an optional package. Raises SettingError that says what `user` lacks."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if lacking := missing_package(error):
            raise SettingError(f"{user} {lacking}") from error
        raise
