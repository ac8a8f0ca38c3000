from __future__ import annotations

import pytest
from timm.data.imagenet_info import ImageNetInfo
from torchvision.models import AlexNet_Weights

from gradcam.errors import ClassError
from gradcam.models.labels import (
    IMAGENET_1K,
    Labels,
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
    with pytest.raises(ClassError, match=f"got '{part}'; the nearest: .*'{nearest}'"):
        LABELS.index(part)


def test_a_misspelt_class_names_the_nearest() -> None:
    with pytest.raises(ClassError, match="got 'tabbby'; the nearest: 'tabby'"):
        LABELS.index("tabbby")


def test_nonsense_is_near_no_class_and_is_told_how_to_name_one() -> None:
    advice = "none is spelt like it: give a name, such as 'tench', 'goldfish' or 'great white shark', or an index"
    for find in (LABELS.index, LABELS.exact_index):
        with pytest.raises(ClassError, match=f"got 'zzzzqqq'; {advice}, such as #0$"):
            find("zzzzqqq")


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


@pytest.mark.parametrize(
    "given",
    [
        ["cat", "cat", "cat (0)"],
        ["cat", "cat (1)", "cat"],
        ["Cat", "cat", "CAT"],
        ["Cat (0)", "cat", "Cat"],
        ["", " ", "cat"],
        ["a\nb", "a b", "a\tb"],
        ["top", "top-1", "A rather than B"],
        ["#1", "1", "0"],
        ["x" * 5000, "y" * 5000, "cat"],
    ],
)
def test_whatever_the_names_each_class_is_found_by_its_own(given: list[str]) -> None:
    labels = make_labels(given)
    assert len(set(labels.names)) == len(given)
    assert [labels.index(name) for name in labels.names] == list(range(len(given)))
    assert all(name.isprintable() for name in labels.names)


def test_names_put_together_by_hand_are_found_letter_for_letter() -> None:
    labels = Labels((" cat", "cat", "Cat", "two\nlines"))
    assert [labels.index(name) for name in labels.names] == [0, 1, 2, 3]
    assert labels.index("two\nlines ") == 3
    with pytest.raises(ClassError, match="name one of them, or its index as #0"):
        labels.index("CAT")


def test_two_names_that_differ_by_case_are_told_apart_as_they_were_given() -> None:
    labels = make_labels(["Cat", "cat"])
    assert labels.names == ("Cat (0)", "cat (1)")
    assert (labels.index("Cat"), labels.index("cat")) == (0, 1)
    with pytest.raises(ClassError, match=r"'Cat \(0\)' \[0\], 'cat \(1\)' \[1\]"):
        labels.index("CAT")


def test_a_head_with_a_single_logit_has_two_classes_in_a_librarys_metadata_too() -> None:
    assert labels_of_timm({"num_classes": 1}).names == ("class 0", "class 1")
    assert labels_of_timm({"num_classes": 1, "label_names": ("defect",)}).names == ("not defect", "defect")
    assert labels_of_timm({"num_classes": 1, "label_names": ("fine", "defect")}).names == ("fine", "defect")
    two = make_labels(["defect"]).with_negative
    assert (two.index("defect"), two.index("not defect"), two.index("#0")) == (1, 0, 0)


def test_a_sentence_quotes_no_more_than_it_must() -> None:
    with pytest.raises(ClassError) as caught:
        LABELS.index("no\nsuch " * 1000)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)
