from ._export import EXPORTS as EXPORTS, export as export
from ._run import (
    ENGINES as ENGINES,
    Engine as Engine,
    prepare as prepare,
    resume as resume,
    start as start,
    watch as watch,
)
from .data_set import SAMPLE as SAMPLE, DataSet as DataSet, read_data as read_data
from .index import RANKINGS as RANKINGS, Ranking as Ranking
from .plan import LABEL as LABEL, Plan as Plan, Settings as Settings
from .run import Run as Run, Status as Status, Unit as Unit
