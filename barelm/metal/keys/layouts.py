"""Keyboard layouts: firmware speaks US, whatever is printed on the keys; this maps what it gives by the key's position.

Only the 47 keys that a US keyboard has can be told apart.  A keyboard made for Europe has one more, to the right of the
left Shift key: firmware gives it as the backslash (USB; EDK2 gives the key beside Enter so too) or not at all (PS/2).
So the backslash stands for the key beside Enter, and what is printed on that additional key (< > | or a backslash) is
where AltGr makes it: on the keys of the US comma and period (< >), and with what else it has on the key beside Enter,
or on 1.  AltGr is the right Alt key, or Ctrl and Alt together; it is seen where the firmware tells shift keys.

The characters are those of the layouts of xkeyboard-config, less what is printed on no key.
"""

import numpy as np

from barelm.contract.layout import KEYBOARDS
from barelm.dialect.types import U16

KEYS = 47
"""Keys of a layout, row by row.  A layout is KEYS characters, as many with Shift, as many with AltGr (space: none)."""

DEAD = "ˆˋ´¨˜"
"""These stand for dead keys: the accent joins the character that follows."""
ACCENTS = "^`´¨~"
"""What each is by itself."""
BASES = "aeiouyncAEIOUYNC "
COMBINED = ("âêîôûŷ ĉÂÊÎÔÛŶ Ĉ^" "àèìòùỳǹ ÀÈÌÒÙỲǸ `" "áéíóúýńćÁÉÍÓÚÝŃĆ´" "äëïöüÿ  ÄËÏÖÜŸ  ¨" "ãẽĩõũỹñ ÃẼĨÕŨỸÑ ~")
"""The bases, with each of them; a space where there is no such character."""

_TABLES = {
    "us": ("`1234567890-=" "qwertyuiop[]\\" "asdfghjkl;'" "zxcvbnm,./"
           "~!@#$%^&*()_+" "QWERTYUIOP{}|" 'ASDFGHJKL:"' "ZXCVBNM<>?"
           "             " "             " "           " "          "),
    "uk": ("`1234567890-=" "qwertyuiop[]#" "asdfghjkl;'" "zxcvbnm,./"
           '¬!"£$%^&*()_+' "QWERTYUIOP{}~" "ASDFGHJKL:@" "ZXCVBNM<>?"
           "¦|  €        " "  é   úíó   \\" "á          " "          "),
    "de": ("ˆ1234567890ß´" "qwertzuiopü+#" "asdfghjklöä" "yxcvbnm,.-"
           '°!"§$%&/()=?ˋ' "QWERTZUIOPÜ*'" "ASDFGHJKLÖÄ" "YXCVBNM;:_"
           "  ²³   {[]}\\ " "@ €        ~|" "           " "      µ<> "),
    "fr": ("²&é\"'(-è_çà)=" "azertyuiopˆ$*" "qsdfghjklmù" "wxcvbn,;:!"
           "~1234567890°+" "AZERTYUIOP¨£µ" "QSDFGHJKLM%" "WXCVBN?./§"
           "  ~#{[|`\\^@]}" "  €        ¤ " "           " "       <> "),
    "es": ("º1234567890'¡" "qwertyuiopˋ+ç" "asdfghjklñ´" "zxcvbnm,.-"
           'ª!"·$%&/()=?¿' "QWERTYUIOPˆ*Ç" "ASDFGHJKLÑ¨" "ZXCVBNM;:_"
           "\\|@#~€¬      " "  €       []}" "          {" "       <> "),
    "it": ("\\1234567890'ì" "qwertyuiopè+ù" "asdfghjklòà" "zxcvbnm,.-"
           '|!"£$%&/()=?^' "QWERTYUIOPé*§" "ASDFGHJKLç°" "ZXCVBNM;:_"
           "     €¬{[]}`~" "  €       [] " "         @#" "       <> "),
    "pt": ("\\1234567890'«" "qwertyuiop+´˜" "asdfghjklçº" "zxcvbnm,.-"
           '|!"#$%&/()=?»' "QWERTYUIOP*ˋˆ" "ASDFGHJKLÇª" "ZXCVBNM;:_"
           "  @£§€ {[]}  " "  €       ¨  " "           " "       <> "),
    "se": ("§1234567890+´" "qwertyuiopå¨'" "asdfghjklöä" "zxcvbnm,.-"
           '½!"#¤%&/()=?ˋ' "QWERTYUIOPÅˆ*" "ASDFGHJKLÖÄ" "ZXCVBNM;:_"
           "  @£$€ {[]}\\ " "  €        ˜|" "           " "      µ<> "),
    "no": ("|1234567890+\\" "qwertyuiopå¨'" "asdfghjkløæ" "zxcvbnm,.-"
           '§!"#¤%&/()=?ˋ' "QWERTYUIOPÅˆ*" "ASDFGHJKLØÆ" "ZXCVBNM;:_"
           "  @£$€ {[]} ´" "  €        ˜ " "           " "      µ<> "),
    "dk": ("½1234567890+´" "qwertyuiopå¨'" "asdfghjklæø" "zxcvbnm,.-"
           '§!"#¤%&/()=?ˋ' "QWERTYUIOPÅˆ*" "ASDFGHJKLÆØ" "ZXCVBNM;:_"
           "  @£$€ {[]} |" "  €        ˜\\" "           " "      µ<> "),
    "ch": ("§1234567890'ˆ" "qwertzuiopü¨$" "asdfghjklöä" "yxcvbnm,.-"
           '°+"*ç%&/()=?ˋ' "QWERTZUIOPè!£" "ASDFGHJKLéà" "YXCVBNM;:_"
           " \\@#  ¬|¢  ´˜" "  €       []}" "          {" "       <> "),
    "be": ("²&é\"'(§è!çà)-" "azertyuiopˆ$µ" "qsdfghjklmù" "wxcvbn,;:="
           "³1234567890°_" "AZERTYUIOP¨*£" "QSDFGHJKLM%" "WXCVBN?./+"
           " |@#  ^  {}\\ " "  €       []ˋ" "          ´" "       <>˜"),
    "br": ("'1234567890-=" "qwertyuiop´[]" "asdfghjklç˜" "zxcvbnm,.;"
           '"!@#$%¨&*()_+' "QWERTYUIOPˋ{}" "ASDFGHJKLÇˆ" "ZXCVBNM<>:"
           " |²³£¢¬     §" "/?€        ª\\" "           " "          "),
}
ACCENT: U16 = np.frombuffer(ACCENTS.encode("utf-16-le"), np.uint16)
_DEAD = np.frombuffer(DEAD.encode("utf-16-le"), np.uint16)
_BASES = np.frombuffer(BASES.encode("utf-16-le"), np.uint16)
_COMBINED = np.frombuffer(COMBINED.encode("utf-16-le"), np.uint16)

LAYOUTS: U16 = np.frombuffer("".join(_TABLES[name] for name in KEYBOARDS).encode("utf-16-le"), np.uint16)
"""The tables of KEYBOARDS, one behind the other; the first is the US one."""


def character_at(layout: int, unit: int, third: bool) -> int:
    """What the key that firmware calls `unit` is in a layout, with AltGr if `third`; 0: nothing."""
    if layout == 0:
        return unit
    for i in range(2 * KEYS):
        if int(LAYOUTS[i]) == unit:
            at = 3 * KEYS * layout + i
            if third:
                at = 3 * KEYS * layout + 2 * KEYS + i % KEYS
            character = int(LAYOUTS[at])
            return 0 if character == 32 else character
    return unit


def dead_number(character: int) -> int:
    """Which of DEAD a character is, from 1; 0: it is none."""
    for i in range(len(_DEAD)):
        if int(_DEAD[i]) == character:
            return i + 1
    return 0


def combined(dead: int, base: int) -> int:
    """A character with the accent of a dead key; 0 where there is no such character."""
    for i in range(len(_BASES)):
        if int(_BASES[i]) == base:
            character = int(_COMBINED[(dead - 1) * len(_BASES) + i])
            return 0 if character == 32 else character
    return 0
