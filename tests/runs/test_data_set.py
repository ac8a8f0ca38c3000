"""What a data set is read from, and what is refused with one sentence."""

from __future__ import annotations

import json
import math
import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from gradcam.errors import PhotoError, RunError
from gradcam.models.labels import imagenet, make_labels
from gradcam.runs.class_names import classes_of, read_mapping
from gradcam.runs.data_set import Archive, DataSet, open_one, read_data, read_one
from gradcam.runs.manifest import PhotoRow, to_rows
from tests.runs.small_set import write_photo, write_set

RECORDS = [
    {"path": "red/1.png", "label": "red", "site": "Bonn", "age": "42", "box": "1,2,3.5,4"},
    {"path": "blue/0.png", "label": "", "site": "Ulm", "age": "", "box": ""},
]
ROWS = [
    PhotoRow("red/1.png", "red", {"site": "Bonn", "age": "42"}, (1, 2, 3.5, 4)),
    PhotoRow("blue/0.png", None, {"site": "Ulm"}),
]
REAL_ZIP = zipfile.ZipFile


def rows(data: DataSet) -> list[PhotoRow]:
    return to_rows(data.rows)


def csv(folder: Path, text: str, name: str = "photos.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


# ------------------------------------------------------------------------------- what is read


def test_folders_are_labels_and_hidden_folders_and_other_files_are_left_out(tmp_path: Path) -> None:
    write_photo(tmp_path / "red" / "1.png", 1)
    write_photo(tmp_path / "blue" / "day" / "0.PNG", 0)
    write_photo(tmp_path / ".thumbnails" / "2.png", 2)
    write_photo(tmp_path / "loose.png", 3)
    write_photo(tmp_path / "red" / ".hidden.png", 4)
    (tmp_path / "red" / ".DS_Store").write_bytes(b"")
    (tmp_path / "red" / "notes.txt").write_text("no photo")
    data = read_data(tmp_path)
    assert rows(data) == [
        PhotoRow("loose.png"),
        PhotoRow("blue/day/0.PNG", "blue"),
        PhotoRow("red/.hidden.png", "red"),
        PhotoRow("red/1.png", "red"),
    ]
    assert data.labels == ("blue", "red")
    assert data.left_out == 1
    assert repr(data).endswith("4 photos, 2 labels)")
    with pytest.raises(PhotoError, match=r"got a hidden file, 'red/\.hidden\.png'; rename it"):
        open_one(data.files, "red/.hidden.png")


def test_a_folder_of_photos_alone_has_no_labels(tmp_path: Path) -> None:
    write_photo(tmp_path / "1.png", 1)
    assert rows(read_data(tmp_path)) == [PhotoRow("1.png")]


def test_the_same_rows_are_read_from_csv_parquet_and_jsonl(tmp_path: Path) -> None:
    lines = [",".join(f'"{cell}"' for cell in record.values()) for record in RECORDS]
    csv(tmp_path, "\ufeff" + "\n".join([",".join(RECORDS[0]), *lines]))
    (tmp_path / "photos.jsonl").write_text(
        json.dumps(RECORDS[0] | {"age": 42, "box": [1, 2, 3.5, 4]}) + "\n\n" + json.dumps(RECORDS[1]) + "\n"
    )
    typed = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
    table = pa.table(typed | {"age": [42.0, None], "box": [[1.0, 2.0, 3.5, 4.0], None], "label": ["red", None]})
    parquet.write_table(table, tmp_path / "photos.parquet")
    for name in ("photos.csv", "photos.jsonl", "photos.parquet"):
        assert rows(read_data(tmp_path / name)) == ROWS


def test_a_line_of_jsonl_may_lack_what_others_have(tmp_path: Path) -> None:
    lines = [
        {"path": "a.png"},
        {"label": "red", "box": [1, 2, 3, 4], "path": "b.png"},
        {"path": "c.png", "site": "Ulm"},
    ]
    (tmp_path / "photos.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert rows(read_data(tmp_path / "photos.jsonl")) == [
        PhotoRow("a.png"),
        PhotoRow("b.png", "red", box=(1, 2, 3, 4)),
        PhotoRow("c.png", columns={"site": "Ulm"}),
    ]


VALUES = {
    "taken": [date(2024, 1, 2), None],
    "at": [datetime(2024, 1, 2, 3, 4), None],
    "price": [Decimal("1.50"), None],
    "whole": [1.0, math.nan],
    "large": [1e300, -2.5],
    "yes": [True, False],
}
TEXTS = [
    {
        "at": "2024-01-02 03:04:00",
        "large": "1e+300",
        "price": "1.50",
        "taken": "2024-01-02",
        "whole": "1",
        "yes": "true",
    },
    {"large": "-2.5", "yes": "false"},
]
"""Columns with types, and what two rows keep of them."""


def test_typed_columns_of_parquet_are_texts_that_a_person_would_write(tmp_path: Path) -> None:
    table = pa.table(VALUES | {"path": ["a.png", "b.png"], "label": [math.nan, 3.0]})
    parquet.write_table(table, tmp_path / "photos.parquet")
    assert [row.columns for row in rows(read_data(tmp_path / "photos.parquet"))] == TEXTS
    assert read_data(tmp_path / "photos.parquet").labels == ("3",)


def test_nan_in_jsonl_is_a_missing_value_and_half_a_character_is_written_out(tmp_path: Path) -> None:
    lines = ['{"path": "a.png", "label": NaN, "box": NaN, "mask": null}', r'{"path": "b.png", "x\udce9": "\ud83d"}']
    (tmp_path / "photos.jsonl").write_text("\n".join(lines))
    halves = {r"x\udce9": r"\ud83d"}
    assert rows(read_data(tmp_path / "photos.jsonl")) == [PhotoRow("a.png"), PhotoRow("b.png", columns=halves)]


def test_a_column_without_a_title_is_left_out_as_the_numbers_that_pandas_writes(tmp_path: Path) -> None:
    numbered = csv(tmp_path, ',path,label, \n"1,2,3,4",a.png,red,\n1,b.png,,7\n')
    assert rows(read_data(numbered)) == [PhotoRow("a.png", "red"), PhotoRow("b.png")]


def test_columns_to_slice_by_are_told_apart_by_case_and_known_ones_are_not(tmp_path: Path) -> None:
    data = read_data(csv(tmp_path, "Path, LABEL ,site,Site\na.png,red,1,2\n"))
    assert rows(data) == [PhotoRow("a.png", "red", {"site": "1", "Site": "2"})]


def test_paths_of_a_manifest_begin_in_its_folder_and_may_be_written_as_on_windows(tmp_path: Path) -> None:
    write_set(tmp_path, 2)
    data = read_data(csv(tmp_path, "file,class\nred\\00001.png,red\n./blue/00000.png,blue\n"))
    assert [row.path for row in rows(data)] == ["red/00001.png", "blue/00000.png"]
    assert open_one(data.files, "red/00001.png").name == "00001.png"


@pytest.mark.parametrize("with_manifest", [False, True])
def test_a_zip_holds_a_folder_or_a_manifest_and_is_never_unpacked(tmp_path: Path, with_manifest: bool) -> None:
    write_set(tmp_path / "set", 2)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("red/00001.png", "blue/00000.png"):
            archive.write(tmp_path / "set" / name, f"in/{name}" if with_manifest else name)
        archive.writestr("__MACOSX/red/._1.png", b"")
        archive.writestr("._photos.csv", b"")
        if with_manifest:
            archive.writestr("in/photos.csv", "path,label\nred/00001.png,red\nblue/00000.png,blue\n")
    data = read_data(tmp_path / "set.zip")
    prefix = "in/" if with_manifest else ""
    assert sorted(row.path for row in rows(data)) == [f"{prefix}blue/00000.png", f"{prefix}red/00001.png"]
    assert data.labels == ("blue", "red")
    assert open_one(data.files, f"{prefix}red/00001.png").size == (8, 8)
    assert {path.name for path in tmp_path.iterdir()} == {"set", "set.zip"}


def labels_in(folder: Path, *paths: str, packed: bool) -> dict[str, str | None]:
    """The label of each photo of a folder or a ZIP with these files."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "set.zip", "w") as archive:
        for path in paths:
            write_photo(folder / "set" / path, 1)
            archive.write(folder / "set" / path, path)
    return {row.path: row.label for row in rows(read_data(folder / ("set.zip" if packed else "set")))}


@pytest.mark.parametrize(
    ("paths", "labels"),
    [
        (("pets/cat/1.png", "pets/dog/young/2.png", "pets/3.png"), (None, "cat", "dog")),
        (("cat/1.png", "dog/2.png"), ("cat", "dog")),
        (("cat/1.png", "2.png"), (None, "cat")),
        (("photos/1.png", "photos/2.png"), (None, None)),
    ],
)
def test_a_zip_of_one_folder_is_labelled_as_that_folder_would_be(
    tmp_path: Path, paths: tuple[str, ...], labels: tuple[str | None, ...]
) -> None:
    found = labels_in(tmp_path, *paths, packed=True)
    assert found.keys() == set(paths)
    assert sorted(found.values(), key=str) == sorted(labels, key=str)


@pytest.mark.parametrize("packed", [False, True])
def test_folders_that_split_a_set_are_a_column_and_no_labels(tmp_path: Path, packed: bool) -> None:
    labels_in(tmp_path, "train/cat/1.png", "train/dog/2.png", "Val/cat/3.png", "test/4.png", packed=packed)
    found = rows(read_data(tmp_path / ("set.zip" if packed else "set")))
    assert sorted((row.path, row.label, row.columns["split"]) for row in found) == [
        ("Val/cat/3.png", "cat", "Val"),
        ("test/4.png", None, "test"),
        ("train/cat/1.png", "cat", "train"),
        ("train/dog/2.png", "dog", "train"),
    ]


def test_trains_are_a_label_beside_others_and_by_themselves(tmp_path: Path) -> None:
    assert set(labels_in(tmp_path / "a", "train/1.png", "bus/2.png", packed=False).values()) == {"train", "bus"}
    assert set(labels_in(tmp_path / "b", "train/1.png", "train/2.png", packed=False).values()) == {"train"}


def test_a_zip_may_write_its_paths_as_on_windows_or_from_its_own_folder(tmp_path: Path) -> None:
    write_photo(tmp_path / "1.png", 1)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("red\\", "red\\1.png", "./blue/2.png", "__MACOSX\\red\\1.png"):
            entry = zipfile.ZipInfo()
            entry.filename = name  # the constructor would mend it
            archive.writestr(entry, b"" if name.endswith("\\") else (tmp_path / "1.png").read_bytes())
    data = read_data(tmp_path / "set.zip")
    assert rows(data) == [PhotoRow("blue/2.png", "blue"), PhotoRow("red/1.png", "red")]
    for path in ("red/1.png", "red\\1.png", "blue/2.png", "./blue/2.png"):  # as earlier runs have them, too
        assert open_one(data.files, path).size == (8, 8)


def test_the_files_of_a_zip_are_listed_once_and_again_where_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pack(*numbers: int) -> None:
        with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
            for place, number in enumerate(numbers):
                write_photo(tmp_path / "red" / "1.png", number)
                archive.write(tmp_path / "red" / "1.png", f"red/{place}.png")
        (tmp_path / "new.zip").replace(tmp_path / "set.zip")

    pack(1, 2, 3)
    opened = []
    monkeypatch.setattr(zipfile, "ZipFile", lambda file: opened.append(file) or REAL_ZIP(file))
    files = read_data(tmp_path / "set.zip").files
    first = [open_one(files, f"red/{place}.png").sha256 for place in (0, 1, 2)]
    assert len(set(first)) == 3
    assert len(opened) == 1
    monkeypatch.undo()
    pack(3, 2, 1, 4)
    assert [open_one(files, f"red/{place}.png").sha256 for place in (2, 1, 0)] == first


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_photo_in_a_zip_is_told_with_its_reason(tmp_path: Path, packing: int) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", packing) as archive:
        archive.writestr("a.png", bytes(range(256)) * 9)
    packed = bytearray((tmp_path / "set.zip").read_bytes())
    packed[50:80] = b"\xff" * 30
    (tmp_path / "set.zip").write_bytes(packed)
    with pytest.raises(PhotoError, match=r"expected a readable file, but 'a\.png' cannot be read: "):
        read_one(Archive(tmp_path / "set.zip"), "a.png")


def test_threads_read_one_zip_at_once(tmp_path: Path) -> None:
    names = [f"{number}.bin" for number in range(40)]
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, name.encode() * 2_000)
    files = Archive(tmp_path / "set.zip")
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda name: read_one(files, name), names * 20))
    assert read == [name.encode() * 2_000 for name in names * 20]


def test_a_photo_that_cannot_be_opened_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    files = read_data(tmp_path).files
    for path, reason in (("broken.png", "damaged"), ("none.png", "there is no file 'none.png'")):
        with pytest.raises(PhotoError, match=reason):
            open_one(files, path)


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "name,label\na.png,x\n",
            "expected a column `path` in 'photos.csv', got 'name', 'label'; give one that title",
        ),
        ("path,site,site\na,b,c\n", "expected columns of different names in 'photos.csv', got 'site' and 'site'"),
        ("path,label, Label\na,b,c\n", "got 'label' and ' Label'; rename one"),
        ("path\n../a.png\n", "expected a path inside the manifest's folder, got '../a.png' in row 1"),
        ("path\n/etc/passwd\n", "expected a path inside the manifest's folder, got '/etc/passwd' in row 1"),
        ("path\nC:\\a.png\n", "expected a path inside the manifest's folder"),
        (
            "path,label\na.png,x\nb.png,x\n./a.png,y\n",
            "expected another photo than in row 1, got 'a.png' in row 3 of 'photos.csv'; drop one of the two",
        ),
        ("path,label\na.png\n", "expected 2 cells in row 1 of 'photos.csv', got 1"),
        ("path,label\n,x\n", "expected a path, got an empty cell in row 1"),
        ('path,box\na.png,"1,2,3"\n', "expected left, top, right and bottom in pixels as a box, got '1,2,3'"),
        ('path,box\na.png,"5,2,3,4"\n', "expected a box with left < right and top < bottom"),
        ('path\n"a.png', "expected a table as CSV in 'photos.csv'"),
        ("path\n", "expected photos in .*, got none; give a folder, manifest or ZIP with photos"),
        ("", "expected a column `path` in 'photos.csv', got none"),
        ("path\n" + "a" * 10_001, "expected at most 10,000 letters under 'path', got 10,001 in row 1"),
    ],
)
def test_a_bad_manifest_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(RunError, match=sentence.replace("(", r"\(")):
        read_data(csv(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.jsonl", b"[1]\n", "expected a JSON object on each line in 'a.jsonl'"),
        ("a.jsonl", b'{"path": "a.png", "path": "b.png"}\n', "the name 'path' is given twice"),
        ("a.jsonl", b"{no\n", "expected a JSON object on each line in 'a.jsonl'"),
        ("a.jsonl", b'{"path": "a.png"}\n{}\n', "expected a path, got an empty cell in row 2 of 'a.jsonl'"),
        (
            "a.jsonl",
            b"\n".join(b'{"path": "a.png", "%d": 1}' % number for number in range(300)),
            "expected at most 200 columns in 'a.jsonl', got 201; drop some",
        ),
        ("a.parquet", b"PAR1", "expected a table as Parquet in 'a.parquet'"),
        ("a.csv", b"path\n\xff\xfe.png\n", "expected a table as CSV in 'a.csv'"),
        ("a.zip", b"PK no", "expected a whole ZIP, got a damaged one"),
        ("a.txt", b"", "expected a folder, a ZIP or a manifest"),
    ],
)
def test_a_file_of_another_kind_is_one_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RunError, match=sentence):
        read_data(tmp_path / name)


def test_folders_behind_links_are_read_and_those_that_lead_back_are_not(tmp_path: Path) -> None:
    write_photo(tmp_path / "elsewhere" / "a.png", 0)
    write_photo(tmp_path / "set" / "red" / "b.png", 1)
    (tmp_path / "set" / "blue").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "red" / "again").symlink_to(tmp_path / "set")
    rows = read_data(tmp_path / "set").rows
    assert rows["path"].to_pylist() == ["blue/a.png", "red/b.png"]
    assert rows["label"].to_pylist() == ["blue", "red"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no names that are not UTF-8")
def test_a_name_that_is_not_utf_8_is_read_like_any_other(tmp_path: Path) -> None:
    write_photo(tmp_path / "red" / "a.png", 0)
    os.rename(tmp_path / "red" / "a.png", os.fsencode(tmp_path / "red") + b"/caf\xe9.png")
    data = read_data(tmp_path)
    assert data.rows["path"].to_pylist() == ["red/caf\\xe9.png"]
    assert open_one(data.files, "red/caf\\xe9.png").size == (8, 8)
    assert data.files.state("red/caf\\xe9.png") is not None
    assert data.files.state("red/caf\\xea.png") is None


def test_an_empty_folder_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(RunError, match="got none, only 1 other file; give a folder"):
        read_data(tmp_path)
    with pytest.raises(RunError, match="there is no file or folder"):
        read_data(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("../a.png", b"", "which leads out; pack it anew"),
        ("a.png", bytes(9_000_000), "which claims 9,000,000 bytes from"),
    ],
)
def test_a_zip_that_could_do_harm_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    with pytest.raises(RunError, match=sentence):
        read_data(tmp_path / "a.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("twice", ["red/a.png", "red\\a.png"])
def test_a_name_that_is_twice_in_a_zip_is_refused(tmp_path: Path, twice: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("red/a.png", "blue/a.png", twice):
            archive.writestr(name, b"")
    with pytest.raises(
        RunError, match=r"each file once in .*a\.zip', got 'red/a\.png' twice; rename one of the two"
    ):
        read_data(tmp_path / "a.zip")


def test_two_manifests_in_a_zip_are_one_too_many(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.csv", "b.csv"):
            archive.writestr(name, "path\n")
    with pytest.raises(RunError, match=r"expected one manifest in the ZIP .*got 'a.csv' and 'b.csv'; keep one"):
        read_data(tmp_path / "a.zip")


# ------------------------------------------------------------------------------- labels and classes


def test_labels_are_classes_by_name_or_as_a_mapping_says(tmp_path: Path) -> None:
    mapping = read_mapping(csv(tmp_path, "label,class\nkitty,tabby\nbean,967\n", "map.csv"))
    (tmp_path / "map.json").write_text('{"kitty": "tabby", "bean": 967}')
    assert read_mapping(tmp_path / "map.json") == mapping == {"kitty": "tabby", "bean": "#967"}
    found = classes_of(["kitty", "bean", "n02123045", "what"], imagenet(), "a model", mapping, need_all=False)
    assert found == {"kitty": 281, "bean": 967, "n02123045": 281, "what": None}


def test_labels_that_are_no_classes_are_refused_where_they_are_asked_for() -> None:
    with pytest.raises(RunError, match=r"but 'what' is none, and 1 other label likewise .*--labels-are FILE"):
        classes_of(["tabby", "what", "why"], imagenet(), "a model", need_all=True)


def test_a_set_without_labels_is_refused_where_they_are_asked_for() -> None:
    with pytest.raises(RunError, match=r"expected photos with labels, .* got none; .* or ask for --class top"):
        classes_of([], imagenet(), "a model", need_all=True)
    assert classes_of([], imagenet(), "a model", need_all=False) == {}


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("TABBY", "tabby"),
        ("Egyptian_cat", "Egyptian cat"),
        ("egyptian cat", "Egyptian cat"),
        ("tabby cat", "tabby"),
        ("N02123045", "tabby"),
        ("281", "tabby"),
        ("#281", "tabby"),
    ],
)
def test_a_label_is_a_class_by_its_whole_name_an_alias_its_wordnet_id_or_its_index(label: str, name: str) -> None:
    known = imagenet()
    assert known.names[known.exact_index(label)] == name


def test_names_with_underscores_are_found_without() -> None:
    assert make_labels(["golden_retriever", "pug"]).exact_index("Golden Retriever") == 0


@pytest.mark.parametrize(
    "label", ["day", "night", "train", "bus", "face", "apple", "hand", "tree", "sign", "rain", "1000", "crane"]
)
def test_a_label_that_is_a_word_of_a_class_is_no_class(label: str) -> None:
    assert classes_of([label], imagenet(), "a model", need_all=False) == {label: None}


def test_the_nearest_class_is_offered_for_a_label_that_is_none() -> None:
    said = []
    classes_of(["night", "what"], imagenet(), "a model", need_all=False, say=said.append)
    assert said == [
        "a model has no class for 2 labels (night, what), but 'night snake' is near 'night': their photos count as "
        "neither right nor wrong"
    ]
    with pytest.raises(RunError, match=r"but 'night' is none \(.*the nearest: 'night snake'\)"):
        classes_of(["night"], imagenet(), "a model", need_all=True)


def test_one_mapping_serves_models_of_different_heads() -> None:
    mapping, said = {"cat": "tabby", "coffee": "espresso"}, []
    own = make_labels(["cat", "coffee"])
    assert classes_of(mapping, imagenet(), "a model", mapping, need_all=True) == {"cat": 281, "coffee": 967}
    assert classes_of(mapping, own, "own", mapping, need_all=True, say=said.append) == {"cat": 0, "coffee": 1}
    assert said == [
        "own has no class that 2 labels should mean (cat → tabby, coffee → espresso): the class of the label's own "
        "name is taken"
    ]
    assert classes_of(["cat"], make_labels(["cat", "tabby"]), "both", mapping, need_all=True) == {"cat": 1}


def test_a_model_without_the_class_that_a_label_is_mapped_to_is_told() -> None:
    mapping, said = {"cat": "tabby", "pug": "pugg"}, []
    found = classes_of(mapping, make_labels(["a pug", "boxer"]), "dogs", mapping, need_all=False, say=said.append)
    assert found == {"cat": None, "pug": None}
    assert said == [
        "dogs has no class for 2 labels (cat → tabby, pug → pugg): their photos count as neither right nor wrong"
    ]
    with pytest.raises(RunError, match=r"classes of dogs, but 'pug' is none \(.* got 'pugg'; the nearest: 'a pug'"):
        classes_of(["pug"], make_labels(["a pug", "boxer"]), "dogs", mapping, need_all=True)


@pytest.mark.parametrize(
    ("text", "sentence"), [("a,b,c\n", "expected two columns"), ("a,1\na,2\n", "got 'a' twice; drop one")]
)
def test_a_bad_mapping_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        read_mapping(csv(tmp_path, text))
