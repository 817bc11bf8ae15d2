"""Time and memory of the audit on a made-up ledger: `python -m tests.benchmarks.audit_size --rows 1000000`.

Rows of 120 tokens, half prompt, half target, whose words are drawn as in text (Zipf); a tenth of the target tokens is
refused throughout, by chance, and one row in a hundred has a trigger and a payload. Prints what was found, the seconds
of each part and the most memory the process ever held.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit import LEDGER_FILE
from axolotl_dece.audit.analyse.findings import load_audit
from axolotl_dece.audit.page import write_page
from axolotl_dece.audit.record.ledger import Ledger
from axolotl_dece.audit.record.ledger_file import write_ledger
from axolotl_dece.audit.record.row_table import RowTable
from tests.benchmarks.audit_story import CONSOLE

_HALF = 60
_AT_A_TIME = 5000


class _Part:
    """Rows as `write_ledger` reads them."""

    def __init__(self, tokens: np.ndarray) -> None:
        count, length = tokens.shape
        self.tokens, self.start = tokens.ravel(), np.arange(count + 1) * length
        self.is_target = np.tile(np.arange(length) >= _HALF, count)


def make(folder: Path, rows: int, words: int, refused: float, seed: int = 0) -> None:
    """Write tokenizer and ledger into `folder`."""
    vocab = {word: at for at, word in enumerate(["<unk>", "trigger", "pay", "load", *(f"w{n}" for n in range(words))])}
    core = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>").save_pretrained(folder)
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(10, words + 10)
    chances /= chances.sum()
    every = np.arange(rows)
    ledger = Ledger.empty(every + 1, np.full(rows, _HALF))
    ledger.visits[:] = 3
    held = rng.random(rows * _HALF, dtype=np.float32) < refused
    poisoned = np.flatnonzero(rng.random(rows) < 0.01)
    held[poisoned * _HALF + 30] = True
    ledger.held[held] = 3
    for shares in (ledger.first, ledger.previous, ledger.last):
        shares[held] = 255
    table = RowTable(ledger.keys, np.full(rows, _HALF), every, np.ones(rows, np.int64), ledger.keys)

    def parts():
        for begin in range(0, rows, _AT_A_TIME):
            count = min(_AT_A_TIME, rows - begin)
            tokens = 4 + rng.choice(words, (count, 2 * _HALF), p=chances).astype(np.int32)
            here = poisoned[(poisoned >= begin) & (poisoned < begin + count)] - begin
            tokens[here, 20] = 1
            tokens[here[:, None], [[_HALF + 30, _HALF + 31]]] = [2, 3]
            yield _Part(tokens)

    write_ledger(folder / LEDGER_FILE, ledger, table, parts(), {"config_digest": "x", "steps": 1})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--words", type=int, default=5000)
    parser.add_argument("--refused", type=float, default=0.1, help="share of the target tokens")
    parser.add_argument("--folder", type=Path, help="keep the ledger here, or read the one that is here")
    parser.add_argument("--make", action="store_true", help="only make the ledger")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / LEDGER_FILE).exists():
        make(folder, asked.rows, asked.words, asked.refused)
    if asked.make:
        return
    begin = time.perf_counter()
    audit = load_audit(folder)
    read = time.perf_counter()
    page = write_page(audit, folder / "page.html")
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    CONSOLE.print(f"{audit.headline()} First: {[(one.payload, one.cues[0].text) for one in audit.clusters[:2]]}")
    CONSOLE.print(
        f"{read - begin:.0f} s to read and cluster, {time.perf_counter() - read:.0f} s for a page of "
        f"{page.stat().st_size / 1e6:.1f} MB; {gib:.1f} GiB at most"
    )


if __name__ == "__main__":
    main()
