"""Who signed a review, and by which keys a signature counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from gradcam.errors import ReviewError, quoted
from gradcam.keys import PublicKey, SecretKey, by_bytes, encode, own_keys, read_public_key
from gradcam.reviews.judging import signed_of
from gradcam.reviews.model import Project, Review
from gradcam.reviews.rows import add_row, rows_of
from gradcam.reviews.tables import SIGNATURES, TRUSTED_KEYS
from gradcam.reviews.verdicts import Verdicts
from gradcam.signatures import (
    CheckedSignature,
    Signed,
    State as SignatureState,
    check_signature,
    make_signature,
    read_signature,
)
from gradcam.statuses import DONE


class Signing(Verdicts):
    """Signatures of reviews, and the keys that a project trusts."""

    def trust(self, project: Project, key: PublicKey, by: str) -> None:
        """Let signatures by this key count in a project, by an owner; by no other key, then, than those trusted so.

        One that is revoked counts no more, whoever trusted it before; a project whose every key is revoked trusts
        none that counts. Raises: ReviewError for a revoked key that the project never trusted.
        """
        if key.revoked and key.key not in self.trusted_keys(project):
            raise ReviewError(f"expected a key that counts, got {key}, which is revoked; trust another")
        with self._writing(by, "owner") as connection:
            add_row(connection, TRUSTED_KEYS, by, project=project.id, key=encode(key).decode())

    def trusted_keys(self, project: Project) -> dict[bytes, PublicKey]:
        """The keys that a project trusts, by their 32 bytes; if it names none, any key counts in it."""
        wanted = sa.select(TRUSTED_KEYS).where(TRUSTED_KEYS.c.project == project.id).order_by(TRUSTED_KEYS.c.number)
        with self._reading() as connection:
            found = list(rows_of(connection, wanted))
        return by_bytes(read_public_key(row["key"].encode(), project.name) for row in found)

    def sign(self, review: Review, key: SecretKey, by: str) -> CheckedSignature:
        """Sign a review's evidence and what the verdicts on it come to; other signatures stay as they are.

        Raises: ReviewError before it is approved or rejected, for a key that is revoked, not among those that its
        project trusts, or known as somebody else's, or where the same person or key has signed it as it is.
        """
        self._check("reviewer", by)
        signed = self._signed(review)
        if not self.is_open(review) or signed.status not in DONE:
            raise ReviewError("expected a review that is approved or rejected, got one that is not; judge it first")
        trusted, known = self._keys(review)
        if known.get(key.public.key, key.public).revoked:
            raise ReviewError(f"expected a key that counts, got {key.public}, which is revoked; make another")
        if trusted and key.public.key not in trusted:
            raise ReviewError(
                f"expected a key that the project trusts, got {key.public}; ask an owner to trust its .pub file"
            )
        owner = known.get(key.public.key)
        if owner and not _speaks_for(owner, key.public.name):
            raise ReviewError(
                f"expected a signature by the owner of the key, {owner}, got one by {quoted(key.public.name)}; "
                "sign with a key of your own"
            )
        made = make_signature(signed, key)
        with self._writing(by) as connection:
            self._one_at_a_time(connection, review.id)
            before = self._signatures(connection, review)
            after = [*before, (by, made.encode())]
            if _signers(before, signed, trusted, known) == _signers(after, signed, trusted, known):
                raise ReviewError(
                    f"expected a review that neither {quoted(by)} nor this key has signed, got one signed as it is"
                )
            add_row(connection, SIGNATURES, by, review=review.id, signature=made.encode().decode())
        return check_signature(made, signed, {key.public.key: key.public})

    def signatures(self, review: Review, trusted: Iterable[PublicKey] = ()) -> list[tuple[str, CheckedSignature]]:
        """Who signed, the first one first, and whether it still fits evidence and verdicts.

        trusted: keys that are trusted beside those that the project trusts.
        """
        keys = by_bytes([*self.trusted_keys(self.project_of(review)).values(), *trusted])
        signed = self._signed(review)
        with self._reading() as connection:
            found = self._signatures(connection, review)
        return [(by, check_signature(read_signature(data, by), signed, keys)) for by, data in found]

    def signers(self, review: Review) -> set[str]:
        """Everybody whose signature fits the evidence and the verdicts as they are: each name and each key once.

        If the project trusts keys, these alone. Who signed with a key that is known here is named as the key says.
        """
        with self._reading() as connection:
            found = self._signatures(connection, review)
        return _signers(found, self._signed(review), *self._keys(review)) if found else set()

    def _signed(self, review: Review) -> Signed:
        return signed_of(review, self._standing(review))

    def _keys(self, review: Review) -> tuple[dict[bytes, PublicKey], dict[bytes, PublicKey]]:
        """The keys that a review's project trusts, and these with the others whose owner is known here."""
        trusted = self.trusted_keys(self.project_of(review))
        return trusted, by_bytes([*trusted.values(), *own_keys().values()])

    def _signatures(self, connection: sa.Connection, review: Review) -> list[tuple[str, bytes]]:
        wanted = sa.select(SIGNATURES).where(SIGNATURES.c.review == review.id).order_by(SIGNATURES.c.number)
        return [(row["by"], row["signature"].encode()) for row in rows_of(connection, wanted)]


def _signers(
    signatures: Iterable[tuple[str, bytes]],
    signed: Signed,
    trusted: Mapping[bytes, PublicKey],
    known: Mapping[bytes, PublicKey],
) -> set[str]:
    """Each name and each key counts once, a revoked key never, and if any is trusted no other.

    A known key tells who signed, whoever `by` says they are: its owner, or whom a server's key vouches for.
    """
    found: set[str] = set()
    seen: set[str | bytes] = set()
    for by, data in signatures:
        checked = check_signature(read_signature(data, by), signed, known)
        statement, key = checked.statement, known.get(checked.statement.key)
        marks: set[str | bytes] = {statement.name} if key else {statement.name, by}
        if not key or not key.vouches:
            marks.add(statement.key)
        counts = checked.state is SignatureState.VALID and not checked.revoked and _speaks_for(key, statement.name)
        if counts and (not trusted or statement.key in trusted) and not marks & seen:
            found.add(statement.name if key else by)
            seen |= marks
    return found


def _speaks_for(key: PublicKey | None, name: str) -> bool:
    """Whether a signature by a key can be in this name: one of a known person signs in their own alone."""
    return key is None or key.vouches or key.name == name
