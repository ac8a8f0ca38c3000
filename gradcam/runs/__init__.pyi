from ._export import EXPORTS as EXPORTS, export as export
from ._run import (
    ENGINES as ENGINES,
    Engine as Engine,
    folder_beside as folder_beside,
    prepare as prepare,
    resume as resume,
    start as start,
    watch as watch,
)
from .data_set import SAMPLE as SAMPLE, DataSet as DataSet, read_data as read_data
from .hosting import HostedRun as HostedRun, RunHost as RunHost
from .plan import LABEL as LABEL, Plan as Plan, Settings as Settings
from .queries import (
    MEASURES as MEASURES,
    RANKINGS as RANKINGS,
    Confused as Confused,
    Filter as Filter,
    Labelled as Labelled,
    MeanMap as MeanMap,
    Page as Page,
    Pair as Pair,
    Ranking as Ranking,
)
from .resampling import Interval as Interval, bootstrap as bootstrap
from .run import Run as Run, Status as Status, Unit as Unit
from .thumbnails import strip_columns as strip_columns, strips as strips
