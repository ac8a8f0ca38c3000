# ruff: noqa: E501 (tables with a row for each kind of head)
"""Which network of a checkpoint is loaded, with which head and as which architecture: never by chance or unsaid."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from gradcam import ModelError
from gradcam.cli._main import main
from gradcam.models.checkpoint import load_checkpoint
from gradcam.models.guess import guess_architecture
from gradcam.models.sources import SOURCES
from gradcam.teaching.script import loading
from tests.another_process import said_elsewhere
from tests.models.test_weight_files import saved
from tests.shapes import ARCHITECTURE

State = dict[str, Tensor]


def state_of(architecture: str = ARCHITECTURE, classes: int = 4, seed: int = 0) -> State:
    source, _, name = architecture.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SOURCES[source].build_with_classes(name, classes).state_dict()


def under(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def bias(classifier: Any) -> Tensor:
    return classifier.module.get_classifier().bias


RAW, OTHER = state_of(seed=1), state_of(seed=2)
for _state, _value in ((RAW, 1.0), (OTHER, 2.0)):
    _state["fc.bias"] = torch.full((4,), _value)


# Two networks -------------------------------------------------------------------------------------------------

TWO = {
    "student and teacher": ({"state_dict": under("student.", RAW) | under("teacher.", OTHER)}, "teacher"),
    "dictionaries": ({"student": RAW, "teacher": OTHER}, "teacher"),
    "numbered": (under("models.0.", RAW) | under("models.1.", OTHER), "models.1"),
    "a list": ({"models": [RAW, OTHER]}, "models.1"),
    "query and key": (
        {"state_dict": under("module.encoder_q.", RAW) | under("module.encoder_k.", OTHER)},
        "encoder_k",
    ),
    "equal rank": ({"generator": RAW, "discriminator": OTHER}, "discriminator"),
    "two usual keys": ({"model": RAW, "net": OTHER}, "net"),
    "a usual and another key": ({"state_dict": RAW, "best_state_dict": OTHER}, "best_state_dict"),
    "usual prefixes": (under("model.", RAW) | under("module.", OTHER), "module"),
    "the file itself and a key": ({**RAW, "best": {"state_dict": OTHER}}, "best.state_dict"),
    "wrapped anew": (under("a.module.", RAW) | under("b.module.", OTHER), "b"),
}


@pytest.mark.parametrize("kind", TWO)
def test_of_two_networks_none_is_taken_unless_it_is_named(kind: str) -> None:
    content, prefix = TWO[kind]
    data = saved(content)
    with pytest.raises(
        ModelError, match=r"expected one network in 'two.pt', got 2 of this architecture: .*prefix"
    ) as caught:
        load_checkpoint(data, ARCHITECTURE, name="two.pt")
    assert prefix in str(caught.value)
    chosen = load_checkpoint(data, ARCHITECTURE, name="two.pt", prefix=prefix)
    assert bias(chosen)[0] == 2
    file = chosen.spec.file
    assert file is not None
    assert prefix in file.prefix
    assert "other weights of this architecture are under" in file.note
    assert f"prefix={file.prefix!r}" in loading(str(chosen.spec), file, None)[1]
    again = load_checkpoint(data, ARCHITECTURE, name="two.pt", prefix=file.prefix)
    assert again.spec == chosen.spec


def test_the_network_without_a_prefix_is_named_by_a_dot() -> None:
    data = saved({**RAW, "best": {"state_dict": OTHER}})
    with pytest.raises(ModelError, match=r"got 2 of this architecture: '\.', 'best.state_dict'"):
        load_checkpoint(data, ARCHITECTURE, name="two.pt")
    chosen = load_checkpoint(data, ARCHITECTURE, name="two.pt", prefix=".")
    assert bias(chosen)[0] == 1
    assert chosen.spec.file is not None
    assert "prefix='.'" in loading(str(chosen.spec), chosen.spec.file, None)[1]


@pytest.mark.parametrize("classes", [4, 5])
@pytest.mark.parametrize("around", ["", "model."])
def test_averaged_weights_inside_the_network_that_they_average_are_chosen_by_prefix(
    around: str, classes: int
) -> None:
    averaged = state_of(classes=classes, seed=2) | {"fc.bias": torch.full((classes,), 2.0)}
    data = saved({"state_dict": under(around, RAW) | under(f"{around}ema.", averaged)})
    trained = load_checkpoint(data, ARCHITECTURE, name="x.pt")
    assert bias(trained).tolist() == [1.0] * 4
    assert trained.spec.file is not None
    assert f"averaged (EMA) weights are under state_dict.{around}ema" in trained.spec.file.note
    assert bias(load_checkpoint(data, ARCHITECTURE, name="x.pt", prefix="ema")).tolist() == [2.0] * classes


def test_a_network_beside_one_without_a_prefix_is_listed_and_chosen() -> None:
    data = saved(RAW | under("teacher.", OTHER))
    with pytest.raises(ModelError, match=r"got 2 of this architecture: '.', 'teacher'; choose one by its prefix"):
        load_checkpoint(data, ARCHITECTURE, name="x.pt")
    assert bias(load_checkpoint(data, ARCHITECTURE, name="x.pt", prefix="teacher")).tolist() == [2.0] * 4


@pytest.mark.parametrize(
    "parts",
    [
        ("{0}.weight_g", "{0}.weight_v"),
        ("{0}.parametrizations.weight.original0", "{0}.parametrizations.weight.original1"),
    ],
)
def test_weights_in_two_parts_are_refused_with_what_joins_them(parts: tuple[str, str]) -> None:
    state = {key: value for key, value in RAW.items() if key != "conv1.0.weight"}
    weight = RAW["conv1.0.weight"]
    length, direction = (part.format("conv1.0") for part in parts)
    state |= {length: weight.flatten(1).norm(dim=1)[:, None, None, None], direction: weight}
    with pytest.raises(
        ModelError, match=r"weights in two parts, as weight_norm keeps them \(conv1.0.*remove_weight_norm"
    ):
        load_checkpoint(saved(state), ARCHITECTURE, name="x.pt")


def test_a_prefix_that_names_none_or_two_networks_lists_them() -> None:
    data = saved(under("a.net.", RAW) | under("b.net.", OTHER))
    for prefix, count in (("c", "none"), ("net", "2")):
        with pytest.raises(ModelError, match=f"got {count} of 'a.net', 'b.net'"):
            load_checkpoint(data, ARCHITECTURE, name="two.pt", prefix=prefix)


def test_one_network_under_two_names_is_one() -> None:
    one = load_checkpoint(saved(under("model.", RAW) | under("net.", RAW)), ARCHITECTURE, name="one.pt")
    assert one.spec.file is not None
    assert one.spec.file.prefix == ""


@pytest.mark.parametrize(
    "key",
    [
        "state_dict_ema",
        "model_ema",
        "ema_state_dict",
        "averaged_model",
        "ema",
        "ema_model",
        "swa_state_dict",
        "shadow_params",
    ],
)
@pytest.mark.parametrize("inner", ["", "module."])
def test_trained_weights_are_taken_and_averaged_ones_named_and_chosen(key: str, inner: str) -> None:
    content = {key: {"n_averaged": torch.tensor(3)} | under(inner, OTHER), "state_dict": RAW, "epoch": 3}
    if not inner:
        del content[key]["n_averaged"]  # type: ignore[attr-defined]
    raw = load_checkpoint(saved(content), ARCHITECTURE, name="x.pth.tar")
    assert bias(raw)[0] == 1
    assert raw.spec.file is not None
    assert f"averaged (EMA) weights are under {key}" in raw.spec.file.note
    averaged = load_checkpoint(saved(content), ARCHITECTURE, name="x.pth.tar", prefix=key)
    assert bias(averaged)[0] == 2
    assert averaged.spec.file is not None
    assert averaged.spec.file.prefix.startswith(key)


@pytest.mark.parametrize("order", [1, -1])
def test_the_choice_does_not_depend_on_the_order_in_the_file(order: int) -> None:
    wrapped = {"model_ema": under("module.", OTHER), "model": under("module.", RAW), "old": {}}
    flat = list((under("net.", RAW) | under("ema.net.", OTHER)).items())
    for content, prefix in ((list(wrapped.items()), "model.module"), (flat, "net")):
        found = load_checkpoint(saved(dict(content[::order])), ARCHITECTURE, name="x.pt", device="cpu")
        assert bias(found)[0] == 1
        assert found.spec.file is not None
        assert found.spec.file.prefix == prefix


def test_the_choice_does_not_depend_on_the_seed_of_hashes(tmp_path: Path) -> None:
    torch.save({"model_ema": under("module.", OTHER), "model": under("module.", RAW)}, tmp_path / "x.pt")
    here = load_checkpoint(tmp_path / "x.pt", ARCHITECTURE, device="cpu").spec
    script = (
        "from gradcam.models.checkpoint import load_checkpoint;"
        f"c = load_checkpoint({str(tmp_path / 'x.pt')!r}, {ARCHITECTURE!r}, device='cpu'); print(c.spec, c.spec.file.prefix)"
    )
    assert said_elsewhere(script) == f"{here} model.module\n"


def test_the_command_line_takes_a_prefix_and_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": RAW, "state_dict_ema": OTHER}, "x.pth.tar")
    Image.new("RGB", (64, 64), "red").save("drawn.png")
    command = ["explain", "drawn.png", "--checkpoint", "x.pth.tar", "--arch", ARCHITECTURE, "--input-size", "64"]
    assert main([*command, "--prefix", "state_dict_ema", "--out", "out"]) == 0
    assert "weights of state_dict_ema" in capsys.readouterr().err


# Heads --------------------------------------------------------------------------------------------------------


def replaced(architecture: str, place: str, head: nn.Module) -> nn.Module:
    source, _, name = architecture.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = SOURCES[source].build_with_classes(name, 10).eval()
    owner, _, last = place.rpartition(".")
    setattr(model.get_submodule(owner), last, head)
    return model.eval()


HEADS = {
    "Sequential(Dropout, Linear)": ("torchvision/resnet18", "fc", lambda: nn.Sequential(nn.Dropout(), nn.Linear(512, 3))),
    "named": ("torchvision/resnet18", "fc", lambda: nn.Sequential(OrderedDict(fc=nn.Linear(512, 3)))),
    "without bias": ("torchvision/resnet18", "fc", lambda: nn.Linear(512, 3, bias=False)),
    "timm": ("timm/test_resnet", "fc", lambda: nn.Sequential(nn.Dropout(), nn.Linear(96, 3))),
    "classifier = Linear": ("torchvision/mobilenet_v2", "classifier", lambda: nn.Linear(1280, 3)),
    "within classifier": (
        "torchvision/mobilenet_v2", "classifier.1", lambda: nn.Sequential(nn.Dropout(), nn.Linear(1280, 3)),
    ),
    "fewer layers": (
        "torchvision/mobilenet_v3_small", "classifier", lambda: nn.Sequential(nn.Dropout(), nn.Linear(576, 3)),
    ),
    "head.fc": ("timm/test_convnext", "head.fc", lambda: nn.Sequential(nn.Dropout(), nn.Linear(64, 3))),
    "a ViT": ("timm/test_vit", "head", lambda: nn.Sequential(OrderedDict(drop=nn.Dropout(), fc=nn.Linear(64, 3)))),
}  # fmt: skip


HEADS |= {
    "BatchNorm1d": ("torchvision/resnet18", "fc", lambda: nn.Sequential(lively(nn.BatchNorm1d(512)), nn.Linear(512, 3))),
    "LayerNorm": ("timm/test_vit", "head", lambda: nn.Sequential(nn.Dropout(), lively(nn.LayerNorm(64)), nn.Linear(64, 3))),
}  # fmt: skip


def lively(norm: Any) -> nn.Module:
    """A normalisation that would be missed."""
    made = torch.Generator().manual_seed(4)
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand(tensor.shape, generator=made))
    return norm


@pytest.mark.parametrize("kind", HEADS)
def test_a_replaced_head_gives_the_scores_of_the_model_that_was_trained(kind: str) -> None:
    architecture, place, head = HEADS[kind]
    model = replaced(architecture, place, head())
    found = load_checkpoint(saved({"state_dict": model.state_dict()}), architecture, name="new.pt")
    height, width = found.preprocessing.size
    photo = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(found.module(photo), model(photo), atol=1e-4)
    assert len(found.labels) == 3
    assert found.spec.file is not None
    assert "Linear from" in found.spec.file.note


def outside(head: State, backbone: str = "backbone.", architecture: str = ARCHITECTURE) -> State:
    """A backbone without its head, and a head beside it."""
    return under(backbone, {key: value for key, value in state_of(architecture).items() if key[:3] != "fc."}) | head


LINEAR = nn.Linear(96, 3).state_dict()
TWO_LAYERS = under("head.0.", nn.Linear(96, 8).state_dict()) | under("head.2.", nn.Linear(8, 3).state_dict())


@pytest.mark.parametrize("head", ["head.", "classifier.", "fc.1.", "model.head.fc."])
def test_a_head_beside_the_backbone_gives_the_scores_of_the_model_that_was_trained(head: str) -> None:
    backbone = "model.backbone." if head.startswith("model") else "backbone."
    data = saved({"state_dict": outside(under(head, LINEAR), backbone), "epoch": 3})
    assert guess_architecture(data).only == ARCHITECTURE
    found = load_checkpoint(data, name="x.pt", device="cpu")
    model = replaced(ARCHITECTURE, "fc", nn.Linear(96, 3))
    model.load_state_dict(
        {key: value for key, value in state_of().items() if key[:3] != "fc."} | under("fc.", LINEAR)
    )
    photo = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(found.module(photo), model(photo), atol=1e-5)
    assert found.spec.file is not None
    assert "a Linear from 96 to 3" in found.spec.file.note
    assert "beside the network" in found.spec.file.note


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (TWO_LAYERS, "head of one layer in 'x.pt', got 'head.0' Linear 8×96, 'head.2' Linear 3×8: "),
        (under("head1.", LINEAR) | under("head2.", LINEAR), "got 'head1' Linear 3×96, 'head2' Linear 3×96: "),
        (
            under("head.0.", nn.BatchNorm1d(96).state_dict()) | under("head.2.", LINEAR),
            "got 'head.0' BatchNorm1d 96, 'head.2' Linear 3×96: ",
        ),
        (
            under("head.norm.", nn.LayerNorm(96).state_dict()) | under("head.fc.", LINEAR),
            "got 'head.norm' LayerNorm 96, 'head.fc' Linear 3×96: ",
        ),
        (under("head.", nn.Linear(95, 3).state_dict()), "expected a head that timm/test_resnet can have, got "),
        (
            under("backbone.fc.", nn.Linear(96, 4).state_dict()) | under("fc.", nn.Linear(4, 3).state_dict()),
            "expected one head in 'x.pt', got 'fc' of 4 classes in the network, and 'fc' 3×4 beside it",
        ),
        (
            under("backbone.fc.1.", nn.Linear(96, 4).state_dict()) | under("head.", LINEAR),
            "expected one head in 'x.pt', got 'fc' of 4 classes in the network, and 'head' 3×96 beside it",
        ),
    ],
)
def test_what_connects_several_layers_is_not_in_the_file_and_never_taken_for_nothing(
    head: State, sentence: str
) -> None:
    with pytest.raises(ModelError, match=sentence):
        load_checkpoint(saved(outside(head)), ARCHITECTURE, name="x.pt")


def test_what_training_keeps_beside_a_whole_model_is_no_head() -> None:
    beside = {
        "loss.weight": torch.ones(4),
        "accuracy.confmat": torch.ones(4, 4),
        "teacher.conv.weight": torch.ones(4, 4, 1, 1),
    }
    beside |= under("teacher.fc.", nn.Linear(96, 7).state_dict())
    found = load_checkpoint(saved(under("model.", RAW) | beside), ARCHITECTURE, name="x.pt")
    assert bias(found)[0] == 1


def test_a_head_of_two_layers_is_refused_for_what_lies_between_them_is_not_in_the_file() -> None:
    head = nn.Sequential(nn.Linear(512, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 3))
    data = saved(replaced("torchvision/resnet18", "fc", head).state_dict())
    with pytest.raises(
        ModelError,
        match=r"head of one layer in 'x.pt', got 'fc.0' Linear 64×512, 'fc.3' Linear 3×64: .* Classifier",
    ):
        load_checkpoint(data, "torchvision/resnet18", name="x.pt")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (nn.Conv2d(512, 3, 1), "fc"),
        (nn.Conv2d(512, 3, 1, bias=False), "fc"),
        (nn.Sequential(nn.Unflatten(1, (512, 1, 1)), nn.Conv2d(512, 3, 1), nn.Flatten()), "fc.1"),
    ],
)
def test_a_convolution_in_the_place_of_the_head_is_told_so(head: nn.Module, name: str) -> None:
    data = saved(replaced("torchvision/resnet18", "fc", head).state_dict())
    with pytest.raises(
        ModelError, match=f"a Linear as the head in 'x.pt', got '{name}', a 1×1 convolution 3×512×1×1"
    ):
        load_checkpoint(data, "torchvision/resnet18", name="x.pt")


def test_a_convolution_beside_a_network_without_a_head_is_told_so() -> None:
    state = replaced("torchvision/resnet18", "fc", nn.Identity()).state_dict()
    data = saved(under("backbone.", state) | under("head.", nn.Conv2d(512, 3, 1).state_dict()))
    with pytest.raises(ModelError, match=r"got 'head', a 1×1 convolution 3×512×1×1: .* give it to Classifier"):
        load_checkpoint(data, "torchvision/resnet18", name="x.pt")


def test_a_head_that_the_architecture_cannot_have_is_refused() -> None:
    state = state_of("torchvision/resnet18", 10)
    state["fc.weight"] = torch.zeros(10, 511)
    moved = {key.replace("fc.", "fc.1."): value for key, value in state.items()}
    with pytest.raises(ModelError, match="expected a head that torchvision/resnet18 can have"):
        load_checkpoint(saved(moved), "torchvision/resnet18", name="x.pt")


# The architecture ---------------------------------------------------------------------------------------------


def test_the_architecture_is_guessed_where_only_one_fits() -> None:
    data = saved({"state_dict": under("module.", RAW)})
    assert guess_architecture(data).fitting == (ARCHITECTURE,)
    assert load_checkpoint(data, name="x.pt").spec.name == ARCHITECTURE


def test_where_several_fit_what_the_script_noted_decides() -> None:
    state = torchvision.models.resnet18(num_classes=3).state_dict()
    fitting = guess_architecture(saved(state)).fitting
    assert fitting[:2] == ("torchvision/resnet18", "timm/resnet18")  # the likeliest first
    assert set(fitting[2:]) <= {"timm/resnetblur18"}  # of the same shapes, and seldom met
    with pytest.raises(ModelError, match=r"its tensors fit \d+: .*'torchvision/resnet18'.*; name one"):
        load_checkpoint(saved(state), name="x.pt")
    theirs = {"model": state, "args": Namespace(model="resnet18"), "lr_scheduler": {}, "epoch": 1}
    assert guess_architecture(saved(theirs)).only == "torchvision/resnet18"
    timms = {"epoch": 1, "arch": "resnet18", "state_dict": state, "version": 2, "args": Namespace(model="resnet18")}
    assert guess_architecture(saved(timms)).only == "timm/resnet18"
    assert guess_architecture(saved(timms)).fitting[:2] == ("timm/resnet18", "torchvision/resnet18")


def test_a_replaced_head_and_several_networks_do_not_hide_the_architecture() -> None:
    head = nn.Sequential(nn.Dropout(), nn.Linear(96, 3))
    assert guess_architecture(saved(replaced(ARCHITECTURE, "fc", head).state_dict())).only == ARCHITECTURE
    assert guess_architecture(saved({"student": RAW, "teacher": OTHER})).only == ARCHITECTURE


def test_a_network_that_nobody_knows_is_a_sentence() -> None:
    with pytest.raises(ModelError, match="none of timm's and torchvision's is near; name one"):
        load_checkpoint(saved({"a.weight": torch.ones(2)}), name="x.pt")
    with pytest.raises(ModelError, match=f"the nearest: '{ARCHITECTURE}'"):
        load_checkpoint(saved(RAW | {"neck.weight": torch.ones(2)}), name="x.pt")
