from .certificate import Certificate as Certificate
from .certificate import certify as certify
from .contraction import contraction_rate as contraction_rate
from .contraction import find_fault as find_fault
from .contraction import input_gain as input_gain
from .contraction import lmi_margin as lmi_margin
