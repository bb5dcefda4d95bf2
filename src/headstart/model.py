"""A model made here: a backbone, a cut, a head and a task; it predicts, is saved, and is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart import __version__, artifact
from headstart.asking import answered_as_it_is
from headstart.backbones.card import CLASSICAL
from headstart.backbones.decoders import Script
from headstart.backbones.writers import Writer, losses_of
from headstart.checkpoints import under
from headstart.data.dataset import Finding
from headstart.data.histories import History, forecast_of
from headstart.data.inputs import Given, beside_learned, gather
from headstart.data.words import tagging_of, words_of
from headstart.devices import processes, undisturbed
from headstart.errors import ArtifactError, HeadstartError
from headstart.extracts import Decoding, Documents, extracted, scored
from headstart.frozen.execution import EXACT, Execution
from headstart.frozen.features import features_of
from headstart.heads import LinearHead
from headstart.plots import FOLDS, training_curves
from headstart.progress import Progress, silent
from headstart.tasks import Task
from headstart.wording import capital, user_path

if TYPE_CHECKING:
    from torch import Tensor

    from headstart.backbones.backbone import Backbone

GOLDEN_TOLERANCE = 1e-3
HASH_BYTES = 8


@dataclass(frozen=True)
class Prediction:
    """The answer for one input, or why there is none.

    Attributes:
        input: what the input is called.
        answer: {"label", "probability", "probabilities"}, {"labels", "probabilities"} or {"value"}; where words are
            tagged {"words", "tags", "entities"}; of series {"series", "forecast"}; of summaries {"summary",
            "sentences"}; of several targets {"targets"}: such an answer each, by name; empty on failure.
        error: why the input could not be read; None on success.
        findings: what was wrong with the table that it stood in.
    """

    input: str
    answer: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def label(self) -> str | None:
        """The likeliest label, for classification of one target."""
        return self.answer.get("label")

    def as_dict(self) -> dict[str, Any]:
        """Return the prediction as JSON holds it."""
        return {"input": self.input, **({"error": self.error} if self.error else self.answer)}


def gathered(inputs: object, backbone: Backbone, columns: tuple[str, ...]) -> list[Given]:
    """Return each input, or why a network cannot read it.

    Raises:
        DataError: there is no input at all.
    """
    channels = int(backbone.architecture.get("channels", 0))
    return [one.checked(channels) for one in gather(inputs, backbone.card.modality, columns)]


def predictions(given: Sequence[Given], answers: Iterable[dict[str, Any]]) -> list[Prediction]:
    """Return a prediction for each input, of answers to those that can be read."""
    found = iter(answers)
    return [
        Prediction(one.name, {} if one.error else next(found), error=one.error, findings=one.findings) for one in given
    ]


@dataclass(frozen=True, eq=False)
class Model:
    """A backbone frozen below a cut, and a head.

    Attributes:
        backbone: with its own preprocessing.
        cut: the number of frozen stages the head reads after; None is the top.
        head: from features to logits.
        task: the target, its kind and its labels.
        columns: the input columns of the table it was trained on; empty for folders and lists.
        record: how it was trained, as JSON holds it.
        seen: (n,) fingerprints of the training examples, so that an evaluation can leave them out.
        writer: what writes texts above the backbone, in place of a head; None otherwise.
    """

    backbone: Backbone
    cut: int | None
    head: LinearHead
    task: Task
    columns: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    writer: Writer | None = None

    @property
    def execution(self) -> Execution:
        """How its stages were run when it was made: those that have learned, in the precision they learned in."""
        plan = self.record.get("plan", {})
        execution = Execution(**plan.get("execution", {"cached": False}))
        if self.backbone.architecture["library"] == CLASSICAL:
            return EXACT
        if self.record.get("strategy", "probe") == "probe":
            return execution
        return replace(execution, precision=plan["precision"])

    @undisturbed()
    def outputs(
        self,
        inputs: Sequence[Any],
        *,
        execution: Execution | None = None,
        contents: Sequence[str] | None = None,
        progress: Progress = silent,
    ) -> np.ndarray:
        """Return probabilities (n, c), numbers (n,) or texts (n,), of inputs that can all be read.

        Args:
            inputs: (n,) files, pictures, arrays or texts.
            execution: how the network is run; as when the model was made, where there are enough inputs, otherwise.
            contents: (n,) the hash of each input's content, where it is known.
            progress: called with (phase, done, total).

        Raises:
            DataError: an input cannot be read.
        """
        if self.writer is not None:
            return answered_as_it_is(self.backbone, self.writer, self.task, inputs, progress)
        if self.task.form == "text":
            decoding = Decoding(**self.record["decoding"])
            return extracted(self.backbone, self.head, self.cut, decoding, inputs, progress)
        features = features_of(
            self.backbone,
            inputs,
            cut=self.cut,
            execution=execution or self.execution.for_count(len(inputs)),
            contents=contents,
            progress=progress,
        )
        return self.task.outputs(self.head.logits(features))

    def checked_by(self, inputs: Sequence[Any]) -> np.ndarray:
        """Return the numbers (n, …) that a saved model is checked by: its outputs or, of texts, what they come from."""
        if self.writer is not None:
            return losses_of(self.backbone, self.writer, inputs)
        if self.task.form == "text":
            return scored(self.backbone, self.head, self.cut, Documents.of(inputs))
        return self.outputs(inputs, execution=EXACT)

    def predict(self, inputs: object, *, progress: Progress = silent) -> list[Prediction]:
        """Answer for each input; one that cannot be read gets an error instead, and the rest goes on.

        Args:
            inputs: a file, folder, table, text, picture or array, or a list of them.
            progress: called with (phase, done, total).

        Raises:
            DataError: there is no input at all.

        Example:
            >>> import headstart as hs
            >>> data = hs.read([("good film", "yes"), ("bad film", "no"), ("fine play", "yes"), ("dull", "no")])
            >>> model = hs.adapt(data, backbone="wordllama")
            >>> model.predict(["a good play"])[0].label
            'yes'
        """
        columns = self.columns if self.task.form != "path" else (*self.columns, self.task.target)
        given = gathered(inputs, self.backbone, columns)
        if self.task.frequencies:
            given = [beside_learned(one, self.task.frequencies) for one in given]
        readable = [one.value for one in given if one.error is None]
        if self.task.words:
            return predictions(given, self._tagged(readable, progress))
        outputs: Iterable[Any] = self.outputs(readable, progress=progress) if readable else ()
        answers: Iterable[dict[str, Any]] = map(self.task.answer, outputs)
        if self.task.form == "path":
            answers = (forecast_of(one, said["quantiles"]) for one, said in zip(readable, answers, strict=True))
        return predictions(given, answers)

    def _tagged(self, texts: Sequence[str], progress: Progress) -> Iterator[dict[str, Any]]:
        """Yield the answer for each text: its words, the tag of each, and the entities they make."""
        words = [words_of(text, self.task.words) for text in texts]
        every = [word for own in words for word in own]
        answers = map(self.task.answer, self.outputs(every, progress=progress) if every else ())
        for own in words:
            yield tagging_of(own, list(islice(answers, len(own))), self.task.words)

    def save(self, path: str | Path) -> Path:
        """Write the model as a folder, whole or not at all; a model of ours that was there is replaced.

        Of several processes started together only the first writes.

        Raises:
            StorageError: the disk is full, or something else is at `path`.
        """
        destination = user_path(path)
        if processes().rank > 0:
            return destination
        artifact.write(destination, lambda folder: write_into(folder, [self]))
        return destination

    def card(self) -> str:
        """Return the model card: what it is, what it was measured on, and where it comes from."""
        source = self.backbone.card
        made = {
            "majority": "The commonest answer: no",
            "classical": "A linear model without transfer on",
            "probe": "A probe on",
            "zeroshot": "As it is:",
            "finetune": "Fine-tuned from",
            "lora": "Tuned by LoRA from",
            "refine": "A small network learned beside",
        }
        if self.task.form == "text" and self.writer is None:
            made |= {"majority": "The first sentences: no", "probe": "Sentences chosen on"}
        how = made.get(str(self.record.get("strategy")), "Learned from scratch, with the architecture of")
        lines = [
            f"# A model for `{self.task.target}`",
            "",
            f"{how} {self.record.get('backbone', source.name)}, made with Headstart {__version__}.",
            "",
            f"- Task: {self.task.kind}" + (f" into {_listed(self.task.labels)}" if self.task.labels else ""),
            f"- Input: {source.modality}, {source.input}",
            f"- Weights: {source.source}; licence {source.licence}; trained on {source.trained_on}",
            *([f"- Made from: {', which was made from '.join(source.lineage)}"] if source.lineage else []),
            self.task.called(f"- Trained on: {self.record.get('n', {}).get('train', 'an unknown number of')} examples"),
        ]
        for name, measure in self.record.get("metrics", {}).items():
            lines.append(
                f"- {name}: {measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}], n={measure['n']}"
            )
        cautions = [f"**{capital(caution)}.**" for caution in self.record.get("cautions", [])]
        return "\n".join([*lines, "", "Intervals are 95 %, on examples no choice was made on.", *cautions, ""])

    def with_record(self, **fields: Any) -> Model:
        """Return the model with more in its training record."""
        return replace(self, record={**self.record, **fields})


def write_into(folder: Path, models: Sequence[Model]) -> None:
    """Write models that share a backbone and a cut into an empty folder: the network once, and a head each."""
    import torch

    first = models[0]
    backbone, record = first.backbone, first.record
    own = {"taught": backbone.seen, **(backbone.typical.tensors() if backbone.typical is not None else {})}
    for place, one in enumerate(models):
        own |= {f"writer.{place}.{name}": array for name, array in _written(one).items()}
        own |= {f"head.{place}.weight": one.head.weight, f"head.{place}.bias": one.head.bias, f"seen.{place}": one.seen}
    weights = {f"backbone.{name}": tensor for name, tensor in backbone.trunk.state_dict().items()}
    tokenizer = getattr(backbone.prepare, "tokenizer", None)
    artifact.fill(
        folder,
        _manifest(models),
        _saveable({**weights, **{name: torch.from_numpy(array) for name, array in own.items()}}),
        _saveable(_golden(models)),
        "\n".join(one.card() for one in models),
        tokenizer.save_pretrained if tokenizer is not None else None,
        {artifact.CURVES: training_curves(record, first.task.called(FOLDS))} if record.get("curve") else {},
    )


def _manifest(models: Sequence[Model]) -> dict[str, Any]:
    first = models[0]
    plan = first.backbone.known_plan if first.cut is None else first.backbone.replay.plan
    return {
        "headstart": __version__,
        "cut": first.cut,
        "backbone": {
            "card": first.backbone.card.as_dict(),
            "architecture": first.backbone.architecture,
            "plan": plan.as_json() if plan else None,
        },
        "models": [
            {
                "task": asdict(one.task),
                "columns": list(one.columns),
                "record": one.record,
            }
            for one in models
        ],
    }


def _golden(models: Sequence[Model]) -> dict[str, Tensor]:
    """Return synthetic inputs and the outputs they give."""
    import torch

    examples = models[0].backbone.prepare.examples()
    found = {f"input.{place}": torch.from_numpy(_as_array(example).copy()) for place, example in enumerate(examples)}
    for place, one in enumerate(models):
        found[f"outputs.{place}"] = torch.from_numpy(one.checked_by(examples).astype(np.float32))
    return found


def _written(model: Model) -> dict[str, np.ndarray]:
    return {} if model.writer is None else {name: one.cpu().numpy() for name, one in model.writer.tensors().items()}


@undisturbed()
def rebuilt(saved: artifact.Artifact) -> list[Model]:
    """Return the models in a saved folder, which share a network, once they give the answers they gave when saved.

    Raises:
        ArtifactError: they cannot be put together again, or answer differently on this machine.
    """
    try:
        models = _put_together(saved)
        difference = _difference_from_golden(models, saved)
    except ArtifactError:
        raise
    except (HeadstartError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError) as error:
        words = error.problem if isinstance(error, HeadstartError) else f"{type(error).__name__}: {error}"
        raise ArtifactError(
            f"{saved.folder.name} cannot be put together again.", got=words.splitlines()[0], hint="train anew"
        ) from None
    if not difference <= GOLDEN_TOLERANCE:
        raise ArtifactError(
            f"{saved.folder.name} does not answer as it did when it was saved.",
            expected=f"its golden outputs within {GOLDEN_TOLERANCE}",
            got=f"a difference of {difference:.2g}",
            hint="install the versions in its manifest, or train anew",
        )
    return models


def _put_together(saved: artifact.Artifact) -> list[Model]:
    from headstart.backbones.sources import from_artifact

    manifest, tensors, backbone = saved.manifest, saved.tensors(), from_artifact(saved)
    models = []
    for place, one in enumerate(manifest["models"]):
        columns = tuple(one["columns"])
        task = Task(**{**one["task"], "labels": tuple(one["task"]["labels"])})
        head = LinearHead(tensors[f"head.{place}.weight"].numpy(), tensors[f"head.{place}.bias"].numpy())
        if head.bias.shape != (task.n_outputs,):
            raise ArtifactError(f"{saved.folder.name} has {task.n_outputs} answers and a head for {len(head.bias)}.")
        seen = tensors[f"seen.{place}"].numpy()
        writer = _writer_of(one["record"], backbone, under(f"writer.{place}.", tensors))
        models.append(Model(backbone, manifest["cut"], head, task, columns, one["record"], seen, writer))
    return models


def _writer_of(record: dict[str, Any], backbone: Backbone, tensors: dict[str, Tensor]) -> Writer | None:
    """Return what writes in a saved model; None where nothing does."""
    if not tensors:
        return None
    tokenizer = backbone.prepare.tokenizer  # type: ignore[attr-defined]
    return Writer.drawn(Script(**record["writer"]), tokenizer).filled(tensors)


def fingerprints(contents: Sequence[str]) -> np.ndarray:
    """Return the first eight bytes (n,) of content hashes: enough to tell a training example, nothing to read it by."""
    return np.array(
        [int.from_bytes(bytes.fromhex(digest)[:HASH_BYTES], "big", signed=True) for digest in contents], np.int64
    )


def _difference_from_golden(models: Sequence[Model], saved: artifact.Artifact) -> float:
    """Return how far today's outputs on the synthetic inputs lie from the saved ones, beside the largest of these."""
    golden = saved.golden()
    stored = [golden[name].numpy() for name in sorted(golden) if name.startswith("input.")]
    inputs: list[Any] = stored
    if models[0].backbone.card.modality == "text":
        inputs = [array.tobytes().decode() for array in stored]
    elif models[0].backbone.card.modality == "series":
        inputs = [History.from_array(array) for array in stored]
    gaps = []
    for place, one in enumerate(models):
        expected, outputs = golden[f"outputs.{place}"].numpy(), one.checked_by(inputs)
        gaps.append(float(np.abs(outputs - expected).max() / max(1.0, float(np.abs(expected).max()))))
    return max(gaps)


def _as_array(example: Any) -> np.ndarray:
    if isinstance(example, History):
        return example.array
    return np.frombuffer(example.encode(), dtype=np.uint8) if isinstance(example, str) else np.asarray(example)


def _saveable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as safetensors takes them: on the CPU, contiguous, and none sharing memory with another."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _listed(labels: tuple[str, ...]) -> str:
    return ", ".join(labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")
