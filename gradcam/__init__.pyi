__version__: str

from ._compare import Progress as Progress, compare as compare
from ._explain import explain as explain, explain_many as explain_many
from ._factorise import Factorisation as Factorisation, factorise as factorise
from ._heatmaps import heatmaps as heatmaps
from .comparison import Comparison as Comparison, Row as Row
from .errors import (
    ClassError as ClassError,
    GradcamError as GradcamError,
    LayerError as LayerError,
    MapError as MapError,
    MethodError as MethodError,
    ModelError as ModelError,
    OptionError as OptionError,
    PhotoError as PhotoError,
    ReportError as ReportError,
    ReviewError as ReviewError,
    RunBusyError as RunBusyError,
    RunError as RunError,
    SigningError as SigningError,
    TooFewError as TooFewError,
    WeightsError as WeightsError,
)
from .layers import candidate_layers as candidate_layers, resolve_target_layer as resolve_target_layer
from .measures import agreement as agreement, measure as measure
from .models.catalogue import search_models as search_models
from .models.checkpoint import load_checkpoint as load_checkpoint
from .models.classifier import Classifier as Classifier, load_classifier as load_classifier
from .models.labels import Labels as Labels
from .panel_key import ModelKey as ModelKey, PanelKey as PanelKey
from .panel_store import PanelMemory as PanelMemory, PanelStore as PanelStore
from .photo import open_photo as open_photo, sample_photo as sample_photo
from .photo_file import open_photos as open_photos
from .report import (
    build_report as build_report,
    diff as diff,
    read_report as read_report,
    replay as replay,
    sign_report as sign_report,
    verify_report as verify_report,
    write_report as write_report,
)
from .targets import parse_target as parse_target
from .types import (
    Contrast as Contrast,
    Explanation as Explanation,
    Failure as Failure,
    Heatmap as Heatmap,
    ModelSpec as ModelSpec,
    Panel as Panel,
    Photo as Photo,
    PhotoFailure as PhotoFailure,
    Preprocessing as Preprocessing,
    PythonTarget as PythonTarget,
    ScoredTarget as ScoredTarget,
    Style as Style,
    Target as Target,
    TargetLayer as TargetLayer,
    Top as Top,
    UnreadablePhoto as UnreadablePhoto,
    View as View,
)
