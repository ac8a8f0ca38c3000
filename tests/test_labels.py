from __future__ import annotations

import pytest
from timm.data.imagenet_info import ImageNetInfo
from torchvision.models import AlexNet_Weights

from gradcam.errors import ClassError
from gradcam.models.labels import (
    IMAGENET_1K,
    imagenet,
    labels_of_timm,
    labels_of_torchvision,
    make_labels,
    numbered,
)

LABELS = imagenet(IMAGENET_1K)
CATEGORIES = AlexNet_Weights.DEFAULT.meta["categories"]


@pytest.mark.parametrize("wanted", [281, "281", " tabby ", "TABBY", "tabby cat", "n02123045"])
def test_a_class_is_found_by_index_name_other_name_and_wordnet_id(wanted: int | str) -> None:
    assert LABELS.index(wanted) == 281


def test_a_part_that_one_class_has_is_enough() -> None:
    assert LABELS.names[LABELS.index("egyptian")] == "Egyptian cat"
    assert LABELS.index("bull mastiff") == 243


def test_a_part_that_several_classes_have_names_them_with_their_indices() -> None:
    with pytest.raises(
        ClassError, match=r"'tiger cat' \[282\], 'Persian cat' \[283\].* and \d+ more; name one of them"
    ):
        LABELS.index("cat")


@pytest.mark.parametrize(("part", "nearest"), [("athtu", "bathtub"), ("crossw", "crossword")])
def test_a_part_of_a_word_is_no_class_for_another_model_may_mean_it(part: str, nearest: str) -> None:
    with pytest.raises(ClassError, match=f"got '{part}'; the nearest are .*'{nearest}'"):
        LABELS.index(part)


def test_a_misspelt_class_names_the_nearest() -> None:
    with pytest.raises(ClassError, match="got 'tabbby'; the nearest are 'tabby'"):
        LABELS.index("tabbby")


@pytest.mark.parametrize("index", [1000, -1])
def test_an_index_beyond_the_classes_is_refused(index: int) -> None:
    with pytest.raises(ClassError, match=f"from 0 to 999, got {index}"):
        LABELS.index(index)


@pytest.mark.parametrize("subset", ["imagenet-1k", "imagenet-12k", "imagenet-22k-ms", "imagenet-21k-miil"])
def test_every_name_finds_its_own_class(subset: str) -> None:
    labels = imagenet(subset)
    assert len(set(labels.names)) == len(labels) == ImageNetInfo(subset).num_classes()
    assert [labels.index(name) for name in labels.names] == list(range(len(labels)))


def test_two_classes_of_one_name_stay_distinguishable() -> None:
    assert (LABELS.names[134], LABELS.names[517]) == ("crane bird", "crane (517)")
    assert (LABELS.names[264], LABELS.names[474]) == ("Cardigan (264)", "cardigan (474)")
    with pytest.raises(ClassError, match=r"'crane bird' \[134\], 'crane \(517\)' \[517\]"):
        LABELS.index("crane")
    assert make_labels(["cat", "dog", "cat"]).names == ("cat (0)", "dog", "cat (2)")


@pytest.mark.parametrize("subset", ["imagenet-12k", "imagenet-22k-ms", "imagenet-21k-goog", "imagenet-21k-miil"])
def test_a_class_of_1k_asked_for_by_name_is_the_same_animal_in_every_other_head(subset: str) -> None:
    other = imagenet(subset)
    assert LABELS.wnids is not None
    assert other.wnids is not None
    shared = [(name, wnid) for name, wnid in zip(LABELS.names, LABELS.wnids, strict=True) if wnid in other.wnids]
    assert len(shared) > 990
    assert ("Egyptian cat", "n02124075") in shared
    assert [(name, other.wnids[other.index(name)]) for name, _ in shared] == shared


def test_heads_of_one_label_set_may_ask_in_the_words_of_another() -> None:
    wide, middle = imagenet("imagenet-21k-goog"), imagenet("imagenet-12k")
    assert wide.wnids is not None
    assert middle.wnids is not None
    crane = next(name for name, wnid in zip(wide.names, wide.wnids, strict=True) if wnid == "n02012849")
    assert crane != "crane bird"
    assert LABELS.index(crane) == 134
    assert middle.wnids[middle.index(crane)] == "n02012849"


def test_labels_without_wordnet_ids_go_by_their_names_alone() -> None:
    own = make_labels(["tabby", "Egyptian cat"])
    assert own.index("Egyptian cat") == 1
    with pytest.raises(ClassError, match="expected a class of own, got 'crane bird'"):
        own.index("crane bird")


def test_search_puts_whole_words_before_parts_of_words() -> None:
    found = [name for _, name in LABELS.search("cat")]
    assert found[:2] == ["tiger cat", "Persian cat"]
    assert found.index("tabby") < found.index("catamaran") < found.index("bullfrog") < found.index("polecat (358)")
    assert LABELS.search("espr") == [(550, "espresso maker"), (967, "espresso")]
    assert LABELS.search("espresso")[0] == (967, "espresso")
    assert LABELS.search("no such class") == []
    assert len(LABELS.search("")) == 1000


def test_a_class_reads_the_same_in_torchvision_and_in_timm() -> None:
    assert labels_of_torchvision(CATEGORIES) is labels_of_timm({"num_classes": 1000}) is LABELS
    assert LABELS.wnids is not None
    assert LABELS.wnids[243] == "n02108422"


def test_another_order_of_the_categories_gets_no_wordnet_ids() -> None:
    labels = labels_of_torchvision(CATEGORIES[::-1])
    assert labels.wnids is None
    assert labels.names[-1] == "tench"


def test_a_class_count_nobody_named_is_numbered() -> None:
    assert labels_of_timm({"num_classes": 3}).names == numbered(3).names == ("class 0", "class 1", "class 2")
    assert numbered(3).index("class 2") == 2


def test_names_in_the_models_own_configuration_win() -> None:
    assert labels_of_timm({"num_classes": 2, "label_names": ("ham", "spam")}).names == ("ham", "spam")
