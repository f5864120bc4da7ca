"""Rows of a table of results: a number obtained, and what it is held to."""

import dataclasses


@dataclasses.dataclass
class Row:
    """One number: obtained here, published there, and how far apart they may be."""

    name: str
    quantity: str
    obtained: float
    published: float
    tolerance: float = 0.0

    @property
    def passed(self):
        return abs(self.obtained - self.published) <= self.tolerance

    @property
    def wanted(self):
        return f"{self.published:.5g} +- {self.tolerance:.2g}"


class AtLeast(Row):
    """One number: obtained here, and the published one that it must reach."""

    @property
    def passed(self):
        return self.obtained >= self.published - self.tolerance

    @property
    def wanted(self):
        return f"at least {self.published:.5g}"


class AtMost(Row):
    """One number: obtained here, and the published one that it must not exceed."""

    @property
    def passed(self):
        return self.obtained <= self.published + self.tolerance

    @property
    def wanted(self):
        return f"at most {self.published:.5g}"
