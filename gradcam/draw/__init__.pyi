from .captions import (
    COLORMAP_ENDS as COLORMAP_ENDS,
    heat_caption as heat_caption,
    layer_caption as layer_caption,
    location_caption as location_caption,
    model_caption as model_caption,
    region_caption as region_caption,
    request_caption as request_caption,
    scale_caption as scale_caption,
)
from .contact_sheet import grid_png as grid_png
from .even_rows import even_columns as even_columns
from .figures import (
    PLOTLY_CONFIG as PLOTLY_CONFIG,
    PLOTLY_SCRIPT as PLOTLY_SCRIPT,
    Theme as Theme,
    measure_boxes as measure_boxes,
    weight_bars as weight_bars,
)
from .page import comparison_html as comparison_html
from .render import (
    DIFFERS as DIFFERS,
    SEQUENTIAL as SEQUENTIAL,
    check_style as check_style,
    draw_grid as draw_grid,
    draw_map as draw_map,
    draw_panel as draw_panel,
    png as png,
    three_panels as three_panels,
)
from .slide import (
    CLASSIC as CLASSIC,
    WIDTH as WIDTH,
    WIDTHS as WIDTHS,
    PictureRow as PictureRow,
    Slide as Slide,
    check_width as check_width,
    panels_slide as panels_slide,
    picture_slide as picture_slide,
    weights_slide as weights_slide,
)
from .viewer import (
    SCRIPT as SCRIPT,
    STYLES as STYLES,
    Caption as Caption,
    Scene as Scene,
    comparison_scene as comparison_scene,
    difference_scene as difference_scene,
    panel_width as panel_width,
    panels_scene as panels_scene,
    tools_scene as tools_scene,
)
