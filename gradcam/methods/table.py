"""The table of methods, a row each.

A method over activations and gradients is a row here and a function in `from_gradients.py`. One that needs more,
such as many forwards, the model's attention or its biases, is a row here and a function in one other file of this
folder, which takes `Signals` too: `again(images)`, `scores_of` and `scores_with` run the model once more, and what
else it reads is a new property there, computed in `gradcam/signals.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from gradcam.errors import OptionError, nearest, quoted
from gradcam.methods import (
    from_attention as attention,
    from_forwards as forwards,
    from_gradients as gradients,
    from_layers as layers,
    from_pixels as pixels,
)
from gradcam.methods.method import USUAL, Method
from gradcam.methods.wrappers import WRAPPERS, Wrapper
from gradcam.text import listed

FLOOR = "Zero: no positive evidence. Drawn from zero."
SIGNED = "Zero: no evidence; below it, evidence against the class. Drawn around zero, red above and blue below."
CLASSLESS = "It looks the same for every class."
ATTENTION = "Only for transformers that attend between all places in every block, not within windows."

CAM = Method(
    name="CAM",
    paper="Zhou et al. 2016",
    title="Learning Deep Features for Discriminative Localization",
    equations="eq. 2",
    link="https://arxiv.org/abs/1512.04150",
    formula="M = Σₖ wₖ Aₖ, with the weights w of the linear layer that makes the score of the means of the Aₖ",
    says="The share of each place in the score, exact except for the bias.",
    zero=SIGNED,
    caveats="Only for models whose scores are one linear layer of the target layer's means.",
    needs=("activations", "linear head"),
    backwards=0,
    signed=True,
    compute=gradients.cam,
)

GRADCAM = Method(
    name="Grad-CAM",
    paper="Selvaraju et al. 2017",
    title="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
    equations="eq. 1 and 2",
    link="https://arxiv.org/abs/1610.02391",
    formula="L = ReLU(Σₖ αₖ Aₖ), with αₖ = the mean over all places of ∂y/∂Aₖ",
    says="Places where the features are strong that raise the score on average.",
    zero=FLOOR,
    needs=("activations", "mean gradients"),
    compute=gradients.grad_cam,
)

SCORE_CAM = Method(
    name="Score-CAM",
    paper="Wang et al. 2019",
    title="Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks",
    equations="algorithm 1",
    link="https://arxiv.org/abs/1910.01279",
    formula="L = ReLU(Σₖ αₖ Aₖ), with α = softmax over k of y(X ⊙ Hₖ), where Hₖ is Aₖ stretched to [0, 1]",
    says="Features through which the photo alone scores high, where they are strong.",
    zero="Zero: no such feature. Drawn from zero.",
    caveats="The softmax leaves little but the few best features.",
    needs=("activations", "forwards"),
    more=1,
    part="channel",
    backwards=0,
    compute=forwards.score_cam,
)

_ROWS = (
    GRADCAM,
    CAM,
    Method(
        name="Grad-CAM++",
        paper="Chattopadhyay et al. 2018",
        title="Grad-CAM++: Improved Visual Explanations for Deep Convolutional Networks",
        equations="eq. 19",
        link="https://arxiv.org/abs/1710.11063",
        formula="L = ReLU(Σₖ wₖ Aₖ), with wₖ = Σ aₖ ReLU(∂y/∂Aₖ), aₖ = g² / (2g² + g³ ΣAₖ) and g = ∂y/∂Aₖ",
        says="Like Grad-CAM, but every object of the class counts, however small it is.",
        zero=FLOOR,
        caveats="A weight becomes very large where g ΣAₖ is near −2.",
        compute=gradients.grad_cam_plus_plus,
    ),
    Method(
        name="Smooth Grad-CAM++",
        paper="Omeiza et al. 2019",
        title="Smooth Grad-CAM++: An Enhanced Inference Level Visualization Technique for Deep CNN Models",
        link="https://arxiv.org/abs/1908.01224",
        formula="Grad-CAM++ with g, g² and g³ each averaged over noisy copies of the photo",
        says="Grad-CAM++, with what a little noise changes averaged out.",
        zero=FLOOR,
        caveats="a has g² above the line, as Grad-CAM++ has it; the noise is the same in every call.",
        needs=("activations", "gradients", "forwards"),
        forwards=9,
        backwards=8,
        parameters=(("noise", 0.15), ("samples", 8)),
        seed=0,
        compute=gradients.smooth_grad_cam_plus_plus(samples=8, noise=0.15, seed=0),
    ),
    Method(
        name="Integrated Grad-CAM",
        paper="Sattarzadeh et al. 2021",
        title="Integrated Grad-CAM: Sensitivity-Aware Visual Explanation via Integrated Gradient-Based Scoring",
        link="https://arxiv.org/abs/2102.07805",
        formula="L = ReLU(Σₖ mean over t of αₖ(t) (Aₖ(t) − Aₖ(0))), the photo scaled by t from 0 to 1",
        says="Grad-CAM, added up while the photo comes out of a plain one.",
        zero="Zero: no more evidence than a plain photo has. Drawn from zero.",
        caveats="The plain photo has the colour that the model takes for the mean; another one gives another map. "
        "The authors' code adds up steps without what is below zero in each; here only the sum is cut there.",
        needs=("activations", "mean gradients", "forwards"),
        forwards=18,
        backwards=16,
        parameters=(("steps", 16),),
        compute=gradients.integrated_grad_cam(steps=16),
    ),
    Method(
        name="Expected Grad-CAM",
        paper="after Buono et al. 2024",
        title="Expected Grad-CAM: Towards gradient faithfulness",
        link="https://arxiv.org/abs/2406.01274",
        formula="L = ReLU(Σₖ mean over x′ and t of αₖ(x′ + t (x − x′)) (Aₖ(x) − Aₖ(x′))), with random smooth "
        "pictures x′ and 0 < t < 1",
        says="Grad-CAM, averaged while the photo comes out of many random smooth pictures.",
        zero="Zero: no more evidence than the random pictures have on average. Drawn from zero.",
        caveats="Our reading of the paper's abstract, without its equations: expected gradients, as Erion et al. "
        "2021 define them, of the layer's features. The random pictures, of 7×7 smoothly enlarged colours, are our "
        "choice, and the same in every call.",
        needs=("activations", "mean gradients", "forwards"),
        forwards=17,
        backwards=8,
        parameters=(("cells", 7), ("noise", 0.25), ("samples", 8)),
        seed=0,
        compute=gradients.expected_grad_cam(samples=8, cells=7, noise=0.25, seed=0),
    ),
    Method(
        name="XGrad-CAM",
        paper="Fu et al. 2020",
        title="Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs",
        link="https://arxiv.org/abs/2008.02312",
        formula="L = ReLU(Σₖ wₖ Aₖ), with wₖ = Σ (∂y/∂Aₖ) Aₖ / ΣAₖ",
        says="Like Grad-CAM, but a gradient counts where its feature is strong.",
        zero=FLOOR,
        caveats="A weight becomes very large where positive and negative features nearly cancel.",
        compute=gradients.xgrad_cam,
    ),
    Method(
        name="HiResCAM",
        paper="Draelos and Carin 2020",
        title="Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks",
        link="https://arxiv.org/abs/2011.08891",
        formula="L = Σₖ (∂y/∂Aₖ) ⊙ Aₖ",
        says="The share of each place in the score, for models whose end is linear.",
        zero=SIGNED,
        signed=True,
        compute=gradients.hires_cam,
    ),
    Method(
        name="Element-wise Grad-CAM",
        paper="Pillai and Pirsiavash 2021",
        title="Explainable Models with Consistent Interpretations",
        link="https://doi.org/10.1609/aaai.v35i3.16344",
        formula="L = Σₖ ReLU((∂y/∂Aₖ) ⊙ Aₖ)",
        says="Like HiResCAM, but evidence against the class cancels nothing.",
        zero=FLOOR,
        compute=gradients.element_wise,
    ),
    Method(
        name="LayerCAM",
        paper="Jiang et al. 2021",
        title="LayerCAM: Exploring Hierarchical Class Activation Maps for Localization",
        link="https://doi.org/10.1109/TIP.2021.3089943",
        formula="M = ReLU(Σₖ ReLU(∂y/∂Aₖ) ⊙ Aₖ)",
        says="Features that raise the score, each at its own place; made for early layers, too.",
        zero=FLOOR,
        compute=gradients.layer_cam,
    ),
    Method(
        name="Shapley-CAM",
        paper="Cai 2025",
        title="CAMs as Shapley Value-based Explainers",
        link="https://arxiv.org/abs/2501.06261",
        formula="L = ReLU(Σₖ wₖ Aₖ), with wₖ = the mean of (∂y/∂A − ½ ∂²y/∂A² · A)ₖ",
        says="Grad-CAM, corrected for how much the gradient itself depends on the features.",
        zero=FLOOR,
        caveats="Grad-CAM itself if the model's end is piecewise linear. The score is the logit, not ReST. Not for "
        "PyTorch's fused attention, which has no second derivative.",
        needs=("activations", "gradients", "curvature"),
        backwards=3,
        compute=gradients.shapley_cam,
    ),
    replace(
        WRAPPERS["Finer-CAM"].of(GRADCAM),
        name="Finer-CAM",
        paper="Zhang et al. 2025",
        equations="",
        formula="Grad-CAM of y − γ · the mean score of the n classes whose logits are closest to y",
        says="What speaks for this class and not for the ones most like it.",
    ),
    replace(
        GRADCAM,
        name="Counterfactual Grad-CAM",
        equations="section 3.3",
        formula="L = ReLU(Σₖ −αₖ Aₖ), with αₖ = the mean over all places of ∂y/∂Aₖ",
        says="Places that lower the score: without them the model would be surer of the class.",
        zero="Zero: nothing that speaks against the class. Drawn from zero.",
        compute=gradients.counterfactual,
    ),
    Method(
        name="Eigen-CAM",
        paper="Muhammad and Yeasin 2020",
        title="Eigen-CAM: Class Activation Map using Principal Components",
        link="https://arxiv.org/abs/2008.00299",
        formula="L = ReLU(±A v₁), with a row of A for each place; the sign makes the largest value positive",
        says="Where the features follow their most common pattern.",
        zero="Zero: nothing of the pattern. Drawn from zero.",
        caveats=CLASSLESS,
        needs=("activations",),
        backwards=0,
        class_specific=False,
        compute=gradients.eigen_cam,
    ),
    Method(
        name="Eigen-Grad-CAM",
        paper="Gildenblat 2021",
        title="PyTorch library for CAM methods",
        link="https://github.com/jacobgil/pytorch-grad-cam",
        formula="L = ReLU(X v₁), with X = (∂y/∂A) ⊙ A, centred, and its first right singular vector v₁",
        says="Where the features, weighted by what they do to the score, follow their most common pattern.",
        zero="Zero: the mean over all places. Drawn from zero.",
        caveats="No paper defines it; the sign is the one with which the map goes with HiResCAM's.",
        compute=gradients.eigen_grad_cam,
    ),
    Method(
        name="Seg-Eigen-CAM",
        paper="Chung and Ying 2025",
        title="Seg-Eigen-CAM: Eigen-Value-Based Visual Explanations for Semantic Segmentation Models",
        equations="eq. 10 to 13",
        link="https://doi.org/10.3390/app15137562",
        formula="L = ReLU(±X v₁), with X = |∂y/∂A| ⊙ A, centred; the sign makes the largest value positive",
        says="Where the features that matter to the score, for or against, follow their most common pattern.",
        zero="Zero: the mean over all places. Drawn from zero.",
        caveats="Made for segmentation. Evidence for and against the class looks the same.",
        compute=gradients.seg_eigen_cam,
    ),
    Method(
        name="KPCA-CAM",
        paper="Karmani et al. 2024",
        title="KPCA-CAM: Visual Explainability of Deep Computer Vision Models using Kernel PCA",
        link="https://arxiv.org/abs/2410.00267",
        formula="L = ReLU(±√λ₁ u₁) of the centred kernel tanh(⟨a, b⟩ / C + 1) of all pairs of centred places a, b",
        says="Like Eigen-CAM, with a pattern that need not be linear.",
        zero="Zero: the mean over all places. Drawn from zero.",
        caveats=CLASSLESS,
        needs=("activations",),
        backwards=0,
        class_specific=False,
        compute=gradients.kpca_cam,
    ),
    Method(
        name="FEM",
        paper="Fuad et al. 2020",
        title="Features Understanding in 3D CNNs for Actions Recognition in Video",
        link="https://hal.science/hal-02963298",
        formula="L = ReLU(Σₖ μₖ [Aₖ ≥ μₖ + 2σₖ]), with the mean μₖ and the standard deviation σₖ of Aₖ",
        says="Places where features are far stronger than they are elsewhere.",
        zero="Zero: no feature stands out. Drawn from zero.",
        caveats=CLASSLESS,
        needs=("activations",),
        backwards=0,
        class_specific=False,
        parameters=(("sigmas", 2),),
        compute=gradients.fem,
    ),
    Method(
        name="FullGrad",
        paper="Srinivas and Fleuret 2019",
        title="Full-Gradient Representation for Neural Network Visualization",
        link="https://arxiv.org/abs/1905.00780",
        formula="S = Σ ψ(x ⊙ ∂y/∂x) + Σ ψ(b ⊙ ∂y/∂b) over all biases b; ψ takes absolute values, stretches them to "
        "0 … 1 and enlarges them to the input's size",
        says="Places where the pixels or the biases of any layer matter to the score, for or against it.",
        zero="Zero: nothing matters there. Drawn from zero.",
        caveats="Each bias is stretched by itself, so that a small one counts as much as a large one. Evidence for "
        "and against the class looks the same. Biases without places in the photo, as within windows, or that no "
        "module adds, are left out.",
        needs=("biases", "pixel gradients"),
        forwards=2,
        compute=pixels.full_grad,
    ),
    Method(
        name="Guided Grad-CAM",
        paper="Selvaraju et al. 2017",
        title="Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
        equations="section 3.2",
        link="https://arxiv.org/abs/1610.02391",
        formula="L ⊙ Σ |∂y/∂x| over the colours of the pixels x, with Grad-CAM's L, where every ReLU passes only "
        "what is above zero back (Springenberg et al. 2015)",
        says="Fine detail inside what Grad-CAM marks.",
        zero="Zero: no detail, or nothing that Grad-CAM marks. Drawn from zero.",
        caveats="Most of the detail stays when the weights are random (Adebayo et al. 2018): it shows the photo's "
        "edges, not what the model makes of them. Only for models with ReLUs. Cells of 4×4 pixels; the paper shows "
        "the product of each pixel and colour.",
        needs=("activations", "mean gradients", "pixel gradients"),
        forwards=2,
        backwards=2,
        parameters=(("cell", pixels.CELL),),
        compute=pixels.guided_grad_cam,
    ),
    Method(
        name="RefineCAM",
        paper="Domeniconi et al. 2026",
        title="How to Evaluate and Refine your CAM",
        link="https://arxiv.org/abs/2605.14641",
        formula="the product over stages of Grad-CAM++ at the stage's last layer, each divided by its maximum",
        says="What Grad-CAM++ marks in late layers, with the outlines that it has in early ones.",
        zero="Zero: some stage has no positive evidence there. Drawn from zero.",
        caveats="A stage with an empty map empties all of it. A transformer that keeps one grid has one stage.",
        needs=("layers", "gradients", "forwards"),
        more=1,
        part="stage",
        backwards_of_parts=True,
        compute=layers.refine_cam,
    ),
    Method(
        name="LeGrad",
        paper="Bousselham et al. 2024",
        title="LeGrad: An Explainability Method for Vision Transformers via Feature Formation Sensitivity",
        link="https://arxiv.org/abs/2404.03214",
        formula="M = the mean over blocks, heads and rows of ReLU(∂s/∂A), with the attention A of a block and the "
        "score s that the model's end makes of what leaves this block",
        says="Places to which the blocks of a transformer would have to attend more, to raise the score.",
        zero="Zero: more attention to the place would raise the score nowhere. Drawn from zero.",
        caveats=f"{ATTENTION} All blocks count alike; the authors' code takes the last two unless told otherwise. "
        "The forward for each block is of the model's end alone where it takes further images.",
        needs=("attention", "attention gradients", "forwards"),
        forwards=3,
        more=1,
        part="block",
        backwards_of_parts=True,
        compute=attention.legrad,
    ),
    Method(
        name="Generic attention",
        paper="Chefer et al. 2021",
        title="Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers",
        link="https://arxiv.org/abs/2103.15679",
        formula="R ← R + E[(∂y/∂A ⊙ A)⁺] R for each block, E over its heads; the map is a row of R − I",
        says="What the scores read of each place, through all blocks, as far as it raises the score.",
        zero="Zero: nothing that is read from there raises the score. Drawn from zero.",
        caveats=f"{ATTENTION} The row is the class token's, or the mean of all that the scores read.",
        needs=("attention", "attention gradients"),
        forwards=2,
        backwards=2,
        compute=attention.generic_attention,
    ),
    Method(
        name="Attention rollout",
        paper="Abnar and Zuidema 2020",
        title="Quantifying Attention Flow in Transformers",
        link="https://arxiv.org/abs/2005.00928",
        formula="M = a row of the product of (Ā + I) / 2 over all blocks, Ā = a block's attention, averaged over "
        "its heads",
        says="What the scores read of each place, through all blocks. A baseline to compare others with.",
        zero="Zero: nothing is read from there. Drawn from zero.",
        caveats=f"{CLASSLESS} {ATTENTION} It sees what is attended to, not what is made of it.",
        needs=("attention",),
        forwards=2,
        class_specific=False,
        compute=attention.attention_rollout,
    ),
    SCORE_CAM,
    replace(
        SCORE_CAM,
        name="SS-CAM",
        paper="Wang et al. 2020",
        title="SS-CAM: Smoothed Score-CAM for Sharper Visual Feature Localization",
        link="https://arxiv.org/abs/2006.14255",
        formula="Score-CAM with the mean of y(X ⊙ (Hₖ + δ)) over noise δ",
        says="Score-CAM, with what noise in the masks changes averaged out.",
        caveats="The noise is the same in every call, and added to the stretched masks, as torchcam does. The "
        "authors' code takes 35 samples and adds noise of the width (2 / (max − min))² to masks that are not "
        "stretched; it weights with the mean probabilities themselves, without a softmax.",
        equations="",
        more=8,
        parameters=(("noise", 2.0), ("samples", 8)),
        seed=0,
        compute=forwards.ss_cam(samples=8, noise=2.0, seed=0),
    ),
    replace(
        SCORE_CAM,
        name="IS-CAM",
        paper="Naidu et al. 2020",
        title="IS-CAM: Integrated Score-CAM for axiomatic-based explanations",
        link="https://arxiv.org/abs/2010.03023",
        formula="Score-CAM with the mean of y(t X ⊙ Hₖ) over t from 1/n to 1",
        says="Score-CAM, averaged while each masked photo comes out of a plain one.",
        caveats="The steps are torchcam's reading of the paper, made even; a draft of the authors' code adds them "
        "up, as torchcam does, and takes the probability after the last alone.",
        equations="",
        more=10,
        parameters=(("steps", 10),),
        compute=forwards.is_cam(steps=10),
    ),
    Method(
        name="Ablation-CAM",
        paper="Desai and Ramaswamy 2020",
        title="Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization",
        equations="eq. 3 and 4",
        link="https://doi.org/10.1109/WACV45572.2020.9093360",
        formula="L = ReLU(Σₖ wₖ Aₖ), with wₖ = (y − yₖ) / |y|, where yₖ is the score without channel k",
        says="Features that the score loses most without, where they are strong.",
        zero=FLOOR,
        caveats="Divided by |y|, not by y: else a negative score turned every weight round. It takes no forward if "
        "the scores are one linear layer of the means; else only the model's part behind the layer runs so often, "
        "where it can run by itself.",
        needs=("activations", "forwards"),
        forwards=4,
        more=1,
        part="channel",
        backwards=0,
        compute=forwards.ablation_cam,
    ),
    Method(
        name="Recipro-CAM",
        paper="Byun and Lee 2022",
        title="Recipro-CAM: Fast gradient-free visual explanations for convolutional neural networks",
        link="https://arxiv.org/abs/2209.14074",
        formula="L(p) = y(A ⊙ Gₚ) − y(0), with a bump Gₚ of 3×3 places around p",
        says="How high each place scores when it alone is left of the features.",
        zero="Zero: no more than nothing at all; below it, less. Drawn around zero, red above and blue below.",
        caveats="The score is the logit; the paper takes the probability and stretches the map. Only the model's "
        "part behind the layer runs so often, where it can run by itself.",
        needs=("activations", "forwards"),
        forwards=5,
        more=1,
        part="place",
        backwards=0,
        signed=True,
        compute=forwards.recipro_cam,
    ),
    Method(
        name="Opti-CAM",
        paper="Zhang et al. 2023",
        title="Opti-CAM: Optimizing saliency maps for interpretability",
        link="https://arxiv.org/abs/2301.07002",
        formula="L = Σₖ αₖ ReLU(Aₖ), with α = softmax(u), where u maximises y(X ⊙ H), H = L stretched to [0, 1]",
        says="The mixture of features through which the photo scores highest.",
        zero="Zero: nothing that the best mixture lets through. Drawn from zero.",
        caveats="Found in small steps: other steps find other mixtures.",
        needs=("activations", "forwards"),
        more=100,
        part="class",
        backwards=100,
        parameters=(("rate", 0.1), ("steps", 100)),
        compute=forwards.opti_cam(steps=100, rate=0.1),
    ),
    Method(
        name="RISE",
        paper="Petsiuk et al. 2018",
        title="RISE: Randomized Input Sampling for Explanation of Black-box Models",
        equations="eq. 6",
        link="https://arxiv.org/abs/1806.07421",
        formula="S = Σᵢ (yᵢ − mean y) Mᵢ / (N p), with yᵢ = y(X ⊙ Mᵢ) and N random masks Mᵢ that keep a share p",
        says="Places that the score is higher with, over many random cut-outs of the photo.",
        zero="Zero: as much as a random mask leaves on average; below it, less. Drawn around zero, red above and "
        "blue below.",
        caveats="It reads no layer. The paper takes the probability, subtracts no mean, and has 4,000 to 8,000 "
        "masks; fewer leave more noise. The masks are the same in every call; the map has at most 56×56 cells.",
        needs=("forwards",),
        forwards=1001,
        backwards=0,
        signed=True,
        parameters=(("cells", 7), ("samples", 1000), ("share", 0.5)),
        seed=0,
        compute=forwards.rise(samples=1000, cells=7, share=0.5, seed=0),
    ),
    Method(
        name="Occlusion",
        paper="Zeiler and Fergus 2014",
        title="Visualizing and Understanding Convolutional Networks",
        equations="section 4.2",
        link="https://arxiv.org/abs/1311.2901",
        formula="L(p) = y(X) − y(X without a patch around p)",
        says="How much the score loses when a grey patch covers the place.",
        zero="Zero: nothing changes; below it, the score rises. Drawn around zero, red above and blue below.",
        caveats="It reads no layer. The patch has the colour that the model takes for the mean, and an edge of its "
        "own; there are 14×14 patches, each twice as wide as a cell.",
        needs=("forwards",),
        forwards=197,
        backwards=0,
        signed=True,
        parameters=(("cells", 14),),
        compute=forwards.occlusion(cells=14),
    ),
)

Row = TypeVar("Row", Method, Wrapper)

METHODS: dict[str, Method] = {method.name: method for method in _ROWS}


def find_method(name: str) -> Method:
    """A row of `METHODS` by its name, without regard to case and hyphens, or a row that `WRAPPERS` make of one:
    `SmoothGrad(LayerCAM)`.

    Raises: OptionError naming the nearest methods or wrappers, also for a wrapper that does not fit.
    """
    name = str(name)
    if row := _find(name, METHODS):
        return row
    outer, bracket, inner = name.strip().partition("(")
    if not bracket:
        raise OptionError(f"expected a method, got {quoted(name)}; use {nearest(name, METHODS)}")
    wrapper = _find(outer, WRAPPERS)
    if wrapper is None:
        known = ", ".join(f"{known}(…)" for known in WRAPPERS)
        raise OptionError(f"expected a wrapper before the bracket, got {quoted(outer)}; use {known}")
    if not inner.endswith(")") or inner.count("(") > len(WRAPPERS):
        raise OptionError(
            f"expected a method in brackets, got {quoted(name)}; write {wrapper.name}({GRADCAM.name})"
        )
    row = wrapper.of(find_method(inner[:-1]))
    return METHODS.get(row.name.removesuffix(f"({GRADCAM.name})"), row)


def known_method(name: str) -> Method | None:
    """The row that has exactly this name, which may come from a file; None if no row has."""
    try:
        row = find_method(name)
    except OptionError:
        return None
    return row if row.name == name else None


def find_methods(names: str | Sequence[str]) -> tuple[Method, ...]:
    """One row, or several in their order, each once. Raises: OptionError, also if there is none."""
    found = [find_method(name) for name in (names if isinstance(names, list | tuple) else [str(names)])]
    if not found:
        raise OptionError(f"expected at least one method, got none; use {GRADCAM.name}")
    return tuple({method.name: method for method in found}.values())


def check_forwards(
    methods: Iterable[Method],
    most: int,
    classes: int = 1,
    layers: int = 1,
    instead: str = "",
) -> None:
    """Raises: OptionError if the methods take more than about `most` forwards of each photo and model together.

    The forward that all methods share is counted once a layer.
    classes, layers: how many are asked for. instead: what to do then; empty to name what takes so many.
    """
    total, counts = layers, dict(USUAL)
    counts["class"] = classes
    causes = {"methods": True, "layers": False, "classes": False}
    for method in methods:
        times = layers if method.reads_layer else 1
        total += times * (method.forwards_for(counts) - 1)
        causes["layers"] |= times > 1
        causes["classes"] |= classes > 1 and method.more > 0 and method.part == "class"
        if total > most:
            fewer = listed([name for name, is_one in causes.items() if is_one], "or")
            raise OptionError(
                f"expected methods of at most {most:,} forwards of each photo and model, got about {total:,} with "
                f"{method.name}; {instead or f'take fewer {fewer}, or no wrapper'}"
            )


def _find(name: str, rows: Mapping[str, Row]) -> Row | None:
    return rows.get(name) or {_plain(known): row for known, row in rows.items()}.get(_plain(name))


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "")


def markdown_table() -> str:
    """All methods and what they need and cost, then the wrappers, as tables of Markdown."""
    head = ("method", "what it shows", "reads", "class", "signs", "forwards", "backwards a class")
    rows = [
        (
            f"[{method.name}]({method.link})<br>{method.citation}",
            " ".join(filter(None, (method.says, method.caveats))),
            ", ".join(method.needs),
            "yes" if method.class_specific else "no",
            "±" if method.signed else "+",
            method.forwards_text,
            method.backwards_text,
        )
        for method in METHODS.values()
    ]
    wrappers = [
        (
            f"[{name}(…)]({wrapper.link})<br>{wrapper.paper}" if wrapper.link else f"{name}(…)",
            " ".join((wrapper.says.format(base="the method"), wrapper.caveats)),
            f"× {wrapper.times}" + ", + 1 forward" * (wrapper.times > 1),
        )
        for name, wrapper in WRAPPERS.items()
    ]
    by_columns = _table(head, ("---",) * 5 + ("--:",) * 2, *rows)
    return f"{by_columns}\n\n{_table(('wrapper', 'what it shows', 'cost'), ('---', '---', '--:'), *wrappers)}"


def _table(*rows: tuple[str, ...]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
