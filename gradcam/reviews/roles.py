"""Who may do what in a store that several people reach: roles by e-mail address or group, in one TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from gradcam.errors import ReviewError, check_kind, nearest, quoted
from gradcam.files import read_file

Role = Literal["viewer", "reviewer", "owner"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may: read; say, comment and sign; make projects, assign and decide."""

GROUP = "group:"
"""What a line of the file begins with that names a group."""
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Actor:
    """Somebody who asks the store for something. role: None for somebody whom nobody gave one."""

    name: str
    role: Role | None

    def may(self, role: Role) -> bool:
        """Whether this role, or one that may do more, was given to them."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)


@dataclass(frozen=True)
class Roles:
    """Whom each role was given to: e-mail addresses, and groups as `group:NAME`, all in lower case."""

    given: Mapping[Role, frozenset[str]]

    def role_of(self, email: str, groups: Iterable[str] = ()) -> Role | None:
        """The highest role of a person; None for one whom the file does not name. No address names a group."""
        address = email.strip().lower()
        known = {f"{GROUP}{group.strip()}".lower() for group in groups}
        known |= set() if address.startswith(GROUP) else {address}
        return next((role for role in reversed(ROLES) if known & self.given[role]), None)


def read_roles(file: str | Path) -> Roles:
    """From a file of lines such as `reviewer = ["anna@example.org", "group:pathology"]`.

    Raises: ReviewError for a file that is not there or says anything else.
    """
    check_kind(file, (str, Path), "the path of a file of roles", "name one", ReviewError)
    data = read_file(file, MAX_BYTES, "a file of roles", error=ReviewError)
    try:
        found = tomllib.loads(data[:MAX_BYTES].decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"expected TOML in {quoted(file)}, got something else ({quoted(str(error))})") from error
    for name, people in found.items():
        if name not in ROLES:
            raise ReviewError(f"expected a role in {quoted(file)}, got {quoted(name)}; use {nearest(name, ROLES)}")
        if not isinstance(people, list) or not all(isinstance(one, str) and one.strip() for one in people):
            raise ReviewError(
                f"expected a list of e-mail addresses and {GROUP}NAME for {name} in {quoted(file)}, "
                f"got {quoted(people)}"
            )
    return Roles({role: frozenset(one.strip().lower() for one in found.get(role, ())) for role in ROLES})
