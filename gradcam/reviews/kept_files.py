"""Files that a store keeps for everybody: of the evidence of reviews, and of models that people share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from gradcam.config import settings
from gradcam.errors import ReviewError
from gradcam.reviews.access import StoreAccess
from gradcam.reviews.model import MAX_EVIDENCE, Project, Review, SharedModel
from gradcam.reviews.rows import add_row, checked_name, rows_of, to_shared_model
from gradcam.reviews.tables import EVIDENCE, MODELS


class KeptFiles(StoreAccess):
    """The files of evidence and of shared models."""

    def keep_evidence(self, review: Review, data: bytes, by: str) -> None:
        """Keep the file of a review's evidence for everybody who goes on with it: a ZIP, or where a run lies.

        Whoever reads it checks that it has the review's hash. Raises: ReviewError above `MAX_EVIDENCE` bytes.
        """
        _check_size(data, "evidence", "embed smaller photos")
        if self.evidence(review) != data:
            with self._writing(by) as connection:
                add_row(connection, EVIDENCE, by, sha256=review.evidence, data=data)

    def change_evidence(self, review: Review, change: Callable[[bytes], bytes], by: str) -> bytes:
        """Keep the file of a review's evidence with a change to it, such as another signature, and return it.

        Of several who change it at the same time, each changes what the one before left.
        """
        with self._writing(by) as connection:
            self._one_at_a_time(connection, review.id)
            before = connection.execute(_latest_evidence(review)).scalar()
            if before is None:
                raise ReviewError("expected a review whose evidence is kept here, got one without; bring its ZIP")
            after = change(before)
            if after != before:
                add_row(connection, EVIDENCE, by, sha256=review.evidence, data=after)
        return after

    def evidence(self, review: Review) -> bytes | None:
        """The file of a review's evidence as somebody last gave it; None where nobody did."""
        with self._reading() as connection:
            return connection.execute(_latest_evidence(review)).scalar()

    def share_model(self, project: Project, name: str, options: str, data: bytes, by: str) -> SharedModel:
        """Let everybody who reads a project use a model of somebody's own; as all that is kept, it stays.

        name: its id. data, options: the file of its weights, and what else it takes to load it.
        Raises: ReviewError above `MAX_EVIDENCE` bytes, or where all would take more than `limits.shared_gigabytes`.
        """
        _check_size(data, "a model", "halve its precision")
        values = {"name": checked_name(name, "a model's id"), "options": options, "data": data}
        most = settings().limits.shared_gigabytes
        with self._writing(by) as connection:
            taken = connection.execute(sa.select(sa.func.sum(sa.func.length(MODELS.c.data)))).scalar() or 0
            if taken + len(data) > most * 1e9:
                raise ReviewError(
                    f"expected shared models of at most {most:g} GB together, got one too many; "
                    "ask the operator for a larger limits.shared_gigabytes"
                )
            return to_shared_model(add_row(connection, MODELS, by, project=project.id, **values))

    def shared_models(self, project: Project) -> list[SharedModel]:
        """The models that people share with a project, the first one first."""
        columns = [column for column in MODELS.c if column.name not in ("data", "options")]
        wanted = sa.select(*columns).where(MODELS.c.project == project.id).order_by(MODELS.c.number)
        with self._reading() as connection:
            return [to_shared_model(row) for row in rows_of(connection, wanted)]

    def shared_file(self, model: SharedModel) -> bytes:
        """The file of a shared model's weights."""
        with self._reading() as connection:
            return connection.execute(sa.select(MODELS.c.data).where(MODELS.c.id == model.id)).scalar_one()

    def shared_options(self, model: SharedModel) -> str:
        """What it takes to load a shared model beside its file: labels, preprocessing and more."""
        with self._reading() as connection:
            return connection.execute(sa.select(MODELS.c.options).where(MODELS.c.id == model.id)).scalar_one()


def _check_size(data: bytes, what: str, do: str) -> None:
    if len(data) > MAX_EVIDENCE:
        raise ReviewError(
            f"expected {what} of at most {MAX_EVIDENCE / 1e6:g} MB, got {len(data) / 1e6:,.0f} MB; {do}"
        )


def _latest_evidence(review: Review) -> sa.Select[Any]:
    wanted = sa.select(EVIDENCE.c.data).where(EVIDENCE.c.sha256 == review.evidence)
    return wanted.order_by(EVIDENCE.c.number.desc()).limit(1)
