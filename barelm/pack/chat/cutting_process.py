"""Cuts a chat template in a process of its own: it is a stranger's program.

    python -m barelm.pack.chat.cutting_process    a TemplateSource as JSON in; a Chat, then its Tools, or why not, out

Each is a line, so that a template which goes on forever as soon as there are tools still has a chat.
"""

import json
import resource
import sys
from dataclasses import asdict

from barelm.pack.chat.chat_cutting import cut_template
from barelm.pack.chat.chat_template import Refused, TemplateSource
from barelm.pack.chat.tool_cutting import cut_tools

MOST_CPU_S, MOST_MEMORY = 4, 512 << 20
"""What cutting a template may take; the largest of published ones takes a tenth of that."""


def main() -> None:
    """Cut the template on standard input, within limits that end this process."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    text, bos, eos, packed_at, tokens = json.load(sys.stdin)
    source = TemplateSource(text, bos, eos, packed_at, tuple(tokens))
    try:
        chat = cut_template(source)
        print(json.dumps(asdict(chat)), flush=True)
        print(json.dumps(asdict(cut_tools(source, chat))))
    except Refused as reason:
        print(json.dumps(str(reason)))


if __name__ == "__main__":
    main()
