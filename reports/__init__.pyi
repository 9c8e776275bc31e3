from .comparison import Variant as Variant
from .figures.comparison import Curve as Curve
from .page import drawn_elsewhere as drawn_elsewhere
from .page import metrics_text as metrics_text
from .quantities import Number as Number
from .writing import drawn as drawn
from .writing import write_comparison_report as write_comparison_report
from .writing import write_report as write_report
