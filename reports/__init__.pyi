from .comparison import Variant as Variant
from .figures.comparison import Curve as Curve
from .quantities import Number as Number
from .writing import write_comparison_report as write_comparison_report
from .writing import write_report as write_report
