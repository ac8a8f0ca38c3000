"""A copy that nobody sees calls as few modules as it needs, and computes the same."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from gradcam.models.shortening import shorten

X = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """A sequence, a list and a module that does nothing, called as libraries do."""

    def __init__(self) -> None:
        super().__init__()
        within = nn.Sequential(nn.Tanh(), nn.Dropout(), nn.Sequential(nn.Identity()))
        self.steps = nn.Sequential(nn.Linear(3, 3), nn.Identity(), within, nn.Sequential(nn.Linear(3, 3)))
        self.several = nn.ModuleList([nn.Identity(), nn.Linear(3, 3), nn.Sequential(nn.ReLU(), nn.Identity())])
        self.drop = nn.Dropout()

    def forward(self, x: Tensor) -> Tensor:
        for module in self.several:
            x = module(x)
        return self.drop(self.steps(x)) + self.several[1](x)


def named(model: nn.Module) -> set[str]:
    return {*dict(model.named_modules())}


def test_modules_that_do_nothing_are_taken_out() -> None:
    model = nn.Sequential(Block(), nn.Identity()).eval()
    expected, before = model(X), named(model)
    shorten(model, {}, [])
    torch.testing.assert_close(model(X), expected, rtol=0, atol=0)
    idle = {"0.steps.1", "0.steps.2.1", "0.steps.2.2", "0.steps.2.2.0", "0.drop", "1"}
    assert before - named(model) == idle | {"0.several.2.1"}  # a list keeps the places of its modules


def test_work_takes_the_place_of_a_forward_wherever_the_module_is() -> None:
    model = Block().eval()
    works = {model.steps[0]: torch.neg, model.several[1]: torch.exp, model.steps[3]: ()}
    expected = copy.deepcopy(model)
    expected.steps[0].forward, expected.several[1].forward = torch.neg, torch.exp
    expected.steps[3] = nn.Identity()
    shorten(model, works, [])
    torch.testing.assert_close(model(X), expected(X), rtol=0, atol=0)


def test_kept_modules_call_their_hooks_under_their_names() -> None:
    model = nn.Sequential(Block()).eval()
    kept = ["0.steps.2.1", "0.drop"]
    shorten(model, {}, kept)
    seen: list[str] = []
    for name in kept:
        model.get_submodule(name).register_forward_hook(lambda *_, name=name: seen.append(name))
    model(X)
    assert seen == kept


def test_a_module_in_two_places_is_called_in_both() -> None:
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, nn.Identity(), shared).eval()
    expected = model(X)
    shorten(model, {}, [])
    torch.testing.assert_close(model(X), expected, rtol=0, atol=0)


def test_a_forward_put_into_a_module_by_hand_is_called() -> None:
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.Tanh())).eval()
    for part in model:
        part.forward = torch.exp
    shorten(model, {}, [])
    torch.testing.assert_close(model(X), X.exp().exp())
