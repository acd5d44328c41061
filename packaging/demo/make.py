"""Make the demo models and their evaluation sets, stage by stage.

    python packaging/demo/make.py --wordnet /usr/share/wordnet --out DIR

A stage whose result exists is skipped; delete the result to run it again.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from bundle import write_evaluation, write_licence
from cards import card
from corpus import Corpus, Windows
from model import load_model, save_model, save_tokenizer
from recipes import BASES, BUNDLED, TUNES, BaseRun, tune_plan
from report import write_report
from tokenizer import train_tokenizer
from train import Cost, Encoder, train
from transformers import PreTrainedTokenizerFast


class Maker:
    """Folders and data shared by the stages."""

    def __init__(self, wordnet: Path, out: Path, work: Path) -> None:
        self.out, self.work = out, work
        work.mkdir(parents=True, exist_ok=True)
        self.corpus = Corpus(wordnet)
        self.tokenizer = self._tokenizer()
        self.encoder = Encoder(self.tokenizer)

    def _tokenizer(self) -> PreTrainedTokenizerFast:
        folder = self.work / "tokenizer"
        if not folder.exists():
            texts = self.corpus.training_text[:2_000_000].splitlines(keepends=True)
            texts += [row.prompt + row.answer for row in self.corpus.examples()]
            train_tokenizer(texts).save_pretrained(folder)
        return PreTrainedTokenizerFast.from_pretrained(folder)

    def folder(self, name: str) -> Path:
        """Where a model is or will be."""
        return (self.out if name in BUNDLED else self.work) / name

    def make(self, name: str) -> None:
        """Train one model and note what it took."""
        folder = self.folder(name)
        if (folder / "model.safetensors").exists():
            return
        windows = Windows(self.encoder, self.corpus.training_text)
        notes: dict[str, object] = {}
        if name in BASES:
            run = BaseRun(BASES[name], self.corpus, windows, self.encoder)
            model, recipe = run.model, BASES[name]
            cost = train(model, run.plan())
            notes["history"] = run.history
        else:
            recipe = TUNES[name]
            model = load_model(self.folder(recipe.parent))
            cost = train(model, tune_plan(recipe, self.corpus, windows, self.encoder))
        save_model(model, self.tokenizer, folder)
        self._note(name, {"recipe": asdict(recipe), "cost": _short(cost), **notes})
        print(f"{name}: {cost.steps} steps, {cost.tokens} tokens, {cost.cpu_seconds:.0f} CPU s")

    def finish(self) -> None:
        """Score every model; write the tables, the scores and the cards."""
        names = [name for name in (*BASES, *TUNES) if self.folder(name).exists()]
        folders = {name: self.folder(name) for name in names}
        scores = write_report(folders, self.corpus, self.tokenizer, self.work / "tables.md")
        self._note("scores", dict(scores))
        for name in BUNDLED:
            if name in scores:
                save_tokenizer(self.tokenizer, self.folder(name))
                notes = json.loads((self.work / f"{name}.json").read_text(encoding="utf-8"))
                text = card(name, scores[name], notes["cost"])
                (self.folder(name) / "README.md").write_text(text, encoding="utf-8")

    def _note(self, name: str, notes: dict[str, object]) -> None:
        text = json.dumps(notes, indent=1)
        (self.work / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _short(cost: Cost) -> dict[str, object]:
    """The cost with a mean loss for each tenth of the run."""
    size = max(1, len(cost.losses) // 10)
    tenths = [cost.losses[at : at + size] for at in range(0, len(cost.losses), size)]
    losses = [round(sum(part) / len(part), 4) for part in tenths]
    return {**asdict(cost), "losses": losses}


def main() -> None:
    """Run the stages that are still to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun etc.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--work", type=Path, default=Path("build/demo"), help="logs, heath-base")
    parser.add_argument("--only", nargs="*", default=None, help="models to make; default: all")
    parser.add_argument(
        "--wordnet-licence",
        type=Path,
        default=Path("/usr/share/doc/wordnet-base/copyright"),
        help="Debian's copyright file of WordNet",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    maker = Maker(options.wordnet, options.out, options.work)
    write_evaluation(maker.corpus, options.out)
    write_licence(options.wordnet_licence, options.out)
    for name in options.only if options.only is not None else [*BASES, *TUNES]:
        maker.make(name)
    if options.only is None:
        maker.finish()


if __name__ == "__main__":
    main()
