from .find import (
    LayerChoice as LayerChoice,
    LayerChoices as LayerChoices,
    candidate_layers as candidate_layers,
    find_layer as find_layer,
    find_layers as find_layers,
    input_as_layer as input_as_layer,
    merge_layers as merge_layers,
    resolve_target_layer as resolve_target_layer,
    target_layer_support as target_layer_support,
)
from .layer_text import (
    SEPARATOR as SEPARATOR,
    TypedLayer as TypedLayer,
    count_layers as count_layers,
    read_layer as read_layer,
    write_layer as write_layer,
)
from .placement import Verdict as Verdict
