"""The tables of a run's index, in the SQLite beside its shards: photos, their units, and what these come to."""

from __future__ import annotations

import sqlalchemy as sa

FILE = "index.sqlite"
VERSION = 3
"""Of the tables. An index of another one is made anew."""

METADATA = sa.MetaData()

PHOTOS = sa.Table(
    "photos",
    METADATA,
    sa.Column("photo", sa.Integer, primary_key=True),
    sa.Column("path", sa.Text, nullable=False, unique=True),
    sa.Column("label", sa.Text, index=True),
    sa.Column("columns", sa.Text, nullable=False),
    sa.Column("sha256", sa.Text),
    sa.Column("height", sa.Integer),
    sa.Column("width", sa.Integer),
    sa.Column("bytes", sa.Integer),
    sa.Column("changed", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("agreement", sa.Float, index=True),
    sa.Column("same_class", sa.Boolean),
    sa.Column("wrong_confidence", sa.Float, index=True),
    sa.Column("confidence", sa.Float, index=True),
    sa.Column("outside_box", sa.Float, index=True),
    sa.Column("on_border", sa.Float, index=True),
    sa.Column("likeness", sa.Float, index=True),
    sa.Index("photos_by_answer", "same_class", "agreement"),
)
"""A photo, with what its units come to.

bytes, changed: of its file when the run first met it, or since then found it the same or tried it again; the time
in nanoseconds. reason: why it could not be opened for some model.
agreement: the lowest rank correlation of any two models' maps of one method and target. same_class: whether all
models predict one class name. wrong_confidence, confidence: the highest and lowest probability of a first
prediction, the former among those that are not the label. outside_box, on_border: the highest share of a map's
heat. likeness: the lowest correlation of a map with the mean map of its class."""

SLICES = sa.Table(
    "slices",
    METADATA,
    sa.Column("photo", sa.Integer, sa.ForeignKey("photos.photo"), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
    sa.Index("slices_by_value", "name", "value", "photo"),
)
"""The further columns of the manifest."""

UNITS = sa.Table(
    "units",
    METADATA,
    sa.Column("photo", sa.Integer, sa.ForeignKey("photos.photo"), primary_key=True),
    sa.Column("model", sa.Integer, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, index=True),
    sa.Column("reason", sa.Text),
    sa.Column("predicted", sa.Text),
    sa.Column("predicted_probability", sa.Float),
    sa.Column("right", sa.Boolean),
    sa.Column("class_name", sa.Text),
    sa.Column("score", sa.Float),
    sa.Column("probability", sa.Float),
    sa.Column("rank", sa.Integer),
    sa.Column("peak", sa.Float),
    sa.Column("mean", sa.Float),
    sa.Column("positive", sa.Float),
    sa.Column("outside_box", sa.Float),
    sa.Column("on_border", sa.Float),
    sa.Column("likeness", sa.Float),
    sa.Column("shard_column", sa.Integer, nullable=False),
    sa.Column("shard_batch", sa.Integer, nullable=False),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Index("units_by_prediction", "predicted", "photo"),
    sqlite_with_rowid=False,
)
"""A unit; `model` is its position in the plan, and the last three columns say where its arrays lie. right: whether
the first prediction is the photo's label, null where that is no class of the model."""

AGREEMENTS = sa.Table(
    "agreements",
    METADATA,
    sa.Column("photo", sa.Integer, sa.ForeignKey("photos.photo"), primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("a", sa.Integer, primary_key=True),
    sa.Column("b", sa.Integer, primary_key=True),
    sa.Column("same_class", sa.Boolean, nullable=False),
    sa.Column("same_prediction", sa.Boolean, nullable=False),
    sa.Column("rank_correlation", sa.Float),
    sa.Column("iou", sa.Float),
    sa.Index("agreements_ranked", "a", "b", "method", "target", "rank_correlation"),
    sa.Index("agreements_by_answer", "a", "b", "method", "target", "same_prediction", "rank_correlation"),
    sqlite_with_rowid=False,
)
"""Two models, a before b in the plan, on one photo, method and target: whether they explain a class of one name,
whether they predict one, and how far their maps agree."""

SHARDS = sa.Table(
    "shards",
    METADATA,
    sa.Column("column", sa.Integer, primary_key=True),
    sa.Column("batch", sa.Integer, primary_key=True),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("failed", sa.Integer, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)
"""The shards that are in the index, and when each came, in seconds since 1970."""


MEANS = sa.Table(
    "means",
    METADATA,
    sa.Column("model", sa.Integer, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("class_name", sa.Text, primary_key=True),
    sa.Column("photos", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("map", sa.LargeBinary, nullable=False),
)
"""The mean map of a class and model: float32 `[height, width]` on the model's grid, in shares of each map's peak.
class_name: the label of the photos, or what the model predicts of photos without one."""

CONFUSIONS = sa.Table(
    "confusions",
    METADATA,
    sa.Column("model", sa.Integer, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("label", sa.Text, primary_key=True),
    sa.Column("predicted", sa.Text, primary_key=True),
    sa.Column("photos", sa.Integer, nullable=False),
    sa.Column("agreement", sa.Float),
    sqlite_with_rowid=False,
)
"""How many photos of a label a model predicts what of, and the mean of their agreements; counted at a run's end."""
