"""For tests of passes, of this repository and of packages that extend dydca.

`check_pass` runs a pass over a network and checks operators, refusals, shapes and values in one call; `Builder` writes
graphs by hand. ``pytest_plugins = ["dydca.testing.golden"]`` in a ``conftest.py`` adds texts kept beside the tests.
"""

from dydca.testing.builder import Builder, program_of
from dydca.testing.checking import Checked, check_pass

__all__ = ["Builder", "Checked", "check_pass", "program_of"]
