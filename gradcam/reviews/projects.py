"""Projects and the reviews in them."""

from __future__ import annotations

import sqlalchemy as sa

from gradcam.errors import ReviewError, quoted
from gradcam.reviews.access import StoreAccess
from gradcam.reviews.model import NEEDED_SIGNATURES, RUNS, Kind, Project, Review
from gradcam.reviews.rows import add_row, checked_name, rows_of, to_project, to_review
from gradcam.reviews.tables import PROJECTS, REVIEWS


class Projects(StoreAccess):
    """Adds and lists projects and reviews."""

    def add_project(self, name: str, by: str, signatures: int = 1) -> Project:
        """A new project, by an owner. signatures: of how many people a review needs to be approved, see `trust`."""
        name = checked_name(name, "a project's name")
        if signatures not in NEEDED_SIGNATURES:
            raise ReviewError(f"expected 0 to 100 signatures, got {quoted(signatures)}")
        with self._writing(by, "owner") as connection:
            if connection.execute(sa.select(PROJECTS.c.id).where(PROJECTS.c.name == name)).first():
                raise ReviewError(f"expected a new project, got {quoted(name)}, which exists; name another")
            row = add_row(connection, PROJECTS, by, name=name, signatures=signatures)
        return to_project(row)

    def project_of_runs(self, by: str) -> Project:
        """The project `RUNS`, which needs no signatures; whoever reviews the first run makes it, as a reviewer."""
        with self._writing(by) as connection:
            known = connection.execute(sa.select(PROJECTS).where(PROJECTS.c.name == RUNS)).mappings().first()
            return to_project(known or add_row(connection, PROJECTS, by, name=RUNS, signatures=0))

    def projects(self) -> list[Project]:
        """All of them, by name."""
        with self._reading() as connection:
            return [to_project(row) for row in rows_of(connection, sa.select(PROJECTS).order_by(PROJECTS.c.name))]

    def project_of(self, review: Review) -> Project:
        """The project that a review belongs to."""
        with self._reading() as connection:
            wanted = sa.select(PROJECTS).where(PROJECTS.c.id == review.project)
            return to_project(connection.execute(wanted).mappings().one())

    def add_review(
        self,
        project: Project,
        evidence: str,
        title: str,
        by: str,
        *,
        kind: Kind = "report",
        blind: bool = False,
        supersedes: Review | None = None,
    ) -> Review:
        """A review of a piece of evidence; the one that the project has of it already, if it has.

        evidence: SHA-256 in hexadecimal digits. supersedes: an earlier one of the project, which counts no more.
        """
        if len(evidence) != 64 or set(evidence) - set("0123456789abcdef"):
            raise ReviewError(f"expected the SHA-256 of the evidence, got {quoted(evidence, 80)}")
        if supersedes is not None and supersedes.project != project.id:
            raise ReviewError(
                f"expected a review of the project {quoted(project.name)} to take the place of, got "
                f"{quoted(supersedes.title)}, which is of another; choose one of this project"
            )
        known = sa.select(REVIEWS).where(REVIEWS.c.project == project.id, REVIEWS.c.evidence == evidence)
        values = {"project": project.id, "kind": kind, "evidence": evidence, "blind": blind}
        values["supersedes"] = None if supersedes is None else supersedes.id
        with self._writing(by) as connection:
            self._one_at_a_time(connection, project.id)
            row = connection.execute(known).mappings().first()
            row = row or add_row(connection, REVIEWS, by, title=checked_name(title, "a review's title"), **values)
        return to_review(row)

    def reviews(self, project: Project | None = None, evidence: str | None = None) -> list[Review]:
        """The latest first: of a project, of a piece of evidence, or all."""
        wanted = sa.select(REVIEWS).order_by(REVIEWS.c.number.desc())
        if project is not None:
            wanted = wanted.where(REVIEWS.c.project == project.id)
        if evidence is not None:
            wanted = wanted.where(REVIEWS.c.evidence == evidence)
        with self._reading() as connection:
            return [to_review(row) for row in rows_of(connection, wanted)]
