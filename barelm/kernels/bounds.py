"""Is every number of a file such as can be?  What its sums do not say: they find damage, and no lies.

Constraints stand with the fields of the structs; here they are looked at.  `kernels.header` and
`kernels.file_tables` know those between several numbers.
"""

from barelm.contract import sections
from barelm.contract.layout import Header, Senseless
from barelm.dialect.memory import float_of_bits, load_i64, load_u32
from barelm.dialect.types import f32
from barelm.kernels.decoder.model import size_of


def senseless_field(header: Header, kind: int, address: int, finding: Senseless) -> bool:
    """Whether a number of the struct at an address, of a kind of `contract.sections`, cannot be; `finding`: which."""
    for k in range(sections.BOUNDS_FIRST[kind], sections.BOUNDS_FIRST[kind + 1]):
        place = sections.BOUND_PLACE[k]
        least = sections.BOUND_LEAST[k]
        most = size_of(header, sections.BOUND_MOST[k]) + sections.BOUND_PLUS[k]
        if sections.BOUND_IS_FLOAT[k]:
            value = load_u32(address + place)
            sane = bool(f32(least) <= float_of_bits(value) <= f32(most))
        else:
            value = load_i64(address + place)
            sane = least <= value <= most
        if not sane:
            note(finding, -1, place, value)
            finding.least = least
            finding.most = most
            return True
    return False


def note(finding: Senseless, number: int, place: int, value: int) -> None:
    """Write down what is wrong, if nothing more is said beside the numbers around it."""
    finding.section = number
    finding.place = place
    finding.value = value
    finding.least = 0
    finding.most = -1
