from .by_shape import (
    LayerRow as LayerRow,
    known_models as known_models,
    layer_row as layer_row,
    write_layer_table as write_layer_table,
)
from .measured import models_to_measure as models_to_measure, write_measured_table as write_measured_table
