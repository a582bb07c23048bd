"""No forms but the generic ones."""

from barelm.dialect.lowering.forms import GENERIC

FORMS = {"neon": GENERIC}
