"""`barelm chat`: a machine booted into a conversation, its console this terminal."""

from barelm import pipeline
from barelm.commands.boot import converse
from barelm.commands.keeping import keep, kept_sessions
from barelm.commands.make import CHAT_FREE_MB
from barelm.commands.progress import ProgressBar
from barelm.commands.run import check_machine
from barelm.errors import BarelmError
from barelm.host_files import working_folder
from barelm.machine.choice import choose_machine
from barelm.machine.machine import Spec
from barelm.pipeline import Order


def chat_with(order: Order, machine: str | None, display: bool) -> int:
    """Hold a conversation; the code is 1 where the program failed.  What it saves is there the next time."""
    check_machine(order.memory_mb, order.cores)
    with ProgressBar() as bar:
        chosen = choose_machine(machine, bar.note, display)
        model = pipeline.packed_model(order.model, order.tokenizer, order.packing, bar)
        if model.chat is None:
            raise BarelmError(f"{model.name} cannot chat: {model.chat_refusal}",
                              "Use `barelm run`, which completes a text.")
        pipeline.note_chat(model, order.settings, bar)
        program = pipeline.built_program(bar)
        with working_folder() as folder:
            settings = order.settings.but(chat=True, at_end="shutdown", wait=0, cores=order.cores).suited(True)
            image = pipeline.bootable_image(folder / "chat.img", program, model.path, settings, bar,
                                            free_bytes=CHAT_FREE_MB << 20, more=kept_sessions())
            spec = Spec(image, order.memory_mb or pipeline.memory_mb(model.memory_bytes), order.cores, writable=True)
            try:
                return converse(chosen, spec, bar)
            finally:
                for path in keep(image):
                    bar.note(f"Kept: {path}")
