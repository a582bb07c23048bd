"""An answer computed again from its receipt, on the hosted firmware or any machine, by the program itself."""

from pathlib import Path

from barelm import pipeline
from barelm.contract.trust.receipt_state import RECEIPT_PATH, REPLAY_PATH
from barelm.disk import open_volume
from barelm.errors import BarelmError
from barelm.host_files import cache_folder, reading, working_folder
from barelm.machine.machine import Machine, Spec
from barelm.outcome import check_ended
from barelm.pack.reader import Packed, read_packed
from barelm.settings import Settings
from barelm.transcript import Transcript
from barelm.trust.binding import sha256_of
from barelm.trust.receipt_file import Receipt, parse_receipt


def model_of(receipt: Receipt, named: str | None, watch: pipeline.Watcher) -> Packed:
    """The model a receipt is of: the one named, or one that this host has packed before.

    Raises BarelmError where it is another one, or not here.
    """
    if named is not None:
        model = pipeline.packed_model(named, None, pipeline.Packing(), watch)
        watch.step(f"Hashing {model.path.name}")
        if sha256_of(model.path)[1].hex() != receipt.model:
            raise BarelmError(f"{named}, packed, is not the model of this receipt: its SHA-256 is another",
                              f"Name the .blm with the SHA-256 {receipt.model}.")
        return model
    watch.step("Looking for the model")
    for path in sorted(cache_folder("models").glob("*.blm")):
        if path.stat().st_size == receipt.model_bytes and sha256_of(path)[1].hex() == receipt.model:
            return read_packed(path)
    raise BarelmError("the model of this receipt is not among those packed here",
                      f"Name the .blm with the SHA-256 {receipt.model} behind the receipt.")


def computed_again(receipt: Receipt, model: Packed, machine: Machine, watch: pipeline.Watcher,
                   settings: Settings = Settings()) -> Receipt:  # noqa: B008 - it never changes
    """The receipt of the same answer, computed now; `settings` may name the level and the number of cores."""
    if receipt.n_tokens > model.config.seq_len + 1 - len(receipt.before):
        raise BarelmError(f"the receipt has more tokens than the {model.config.seq_len} of the context of {model.name}",
                          "No program can have made it.")
    if max(receipt.before) >= model.config.vocab_size:
        raise BarelmError(f"the receipt has an id that is not in the vocabulary of {model.name}",
                          "No program can have made it.")
    program = pipeline.built_program(watch)
    with working_folder() as folder:
        asked = settings.but(report=True, replay=True, chat=False, at_end="shutdown", measure=False)
        image = pipeline.bootable_image(
            folder / "replay.img", program, model.path, asked, watch, free_bytes=pipeline.RECEIPT_MB << 20,
            more={REPLAY_PATH: receipt.replay()})
        watch.step(f"Computing {receipt.n_tokens} tokens again")
        heard = Transcript(model.vocabulary())
        cores = max(settings.cores, 1)
        with machine.start(Spec(image, pipeline.memory_mb(model.memory_bytes), cores, writable=True)) as session:
            while heard.status is None and (console := session.read(pipeline.SILENCE_S)):
                heard.hear(console)
            while session.read(pipeline.SILENCE_S):
                pass  # until it is off: then all is written
        check_ended(heard, machine.name)
        again = parse_receipt(receipt_on(image), "the new receipt")
        if again.first != receipt.first:
            raise BarelmError("the receipt has settings that no program can have",
                              "Take it from where it was written again.")
        return again


def receipt_on(image: Path) -> bytes:
    """The receipt a run left on its image."""
    with reading(image), open_volume(image) as volume:
        entry = volume.lookup(RECEIPT_PATH)
        if entry is None:
            raise BarelmError("the machine wrote no receipt", "Its volume may be full: try again.")
        return volume.read(entry, 0, entry.size)
