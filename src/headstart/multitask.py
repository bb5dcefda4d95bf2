"""A model of several targets: one answer with all of them, from as few networks as the targets share."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from headstart import __version__, artifact
from headstart.backbones.backbone import Backbone
from headstart.devices import processes, undisturbed
from headstart.errors import ArtifactError, OptionError
from headstart.frozen.execution import Execution
from headstart.frozen.features import features_of
from headstart.model import Model, Prediction, gathered, predictions, rebuilt, write_into
from headstart.progress import Progress, silent
from headstart.wording import user_path


@dataclass(frozen=True, eq=False)
class MultiTaskModel:
    """Models of several targets of the same inputs; those that share a network read its features together.

    Attributes:
        models: one a target; what shares a network holds the very same backbone.
        record: how they were made together, as JSON holds it.
    """

    models: tuple[Model, ...]
    record: dict[str, Any] = field(default_factory=dict)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets."""
        return tuple(one.task.target for one in self.models)

    @cached_property
    def shared(self) -> list[list[Model]]:
        """The models by the network and the cut that they read."""
        groups: dict[tuple[int, int | None], list[Model]] = {}
        for one in self.models:
            groups.setdefault((id(one.backbone), one.cut), []).append(one)
        return list(groups.values())

    @property
    def backbone(self) -> Backbone:
        """The network of the first target."""
        return self.models[0].backbone

    def only(self, target: str) -> Model:
        """Return the model of one target.

        Raises:
            OptionError: there is no such target.
        """
        for one in self.models:
            if one.task.target == target:
                return one
        raise OptionError(
            f"the model has no target {target!r}.", expected="one of " + ", ".join(self.targets), got=repr(target)
        )

    @classmethod
    def of(cls, model: Model | MultiTaskModel) -> MultiTaskModel:
        """Return a model as one of several targets, of which it may have one."""
        return model if isinstance(model, MultiTaskModel) else cls((model,))

    def joined_by(self, model: Model) -> MultiTaskModel:
        """Return the model with one target more.

        On one of the networks that are here the new target is only a head beside the others: their answers stay as
        they are, to the bit.

        Raises:
            OptionError: there is such a target already.
        """
        self.require_new(model.task.target)
        return MultiTaskModel((*self.models, model), self.record)

    def with_models(self, models: Sequence[Model]) -> MultiTaskModel:
        """Return the model with others in place of those of the same targets."""
        others = {one.task.target: one for one in models}
        return replace(self, models=tuple(others.get(one.task.target, one) for one in self.models))

    def with_record(self, **fields: object) -> MultiTaskModel:
        """Return the model with more in its record."""
        return replace(self, record={**self.record, **fields})

    def require_new(self, target: str) -> None:
        """Raise an `OptionError` if there is such a target already."""
        if target in self.targets:
            names = ", ".join(self.targets)
            raise OptionError(
                f"the model answers {target!r} already.", expected=f"another target than {names}", got=target
            )

    @undisturbed()
    def outputs(
        self, inputs: Sequence[Any], *, contents: Sequence[str] | None = None, progress: Progress = silent
    ) -> dict[str, np.ndarray]:
        """Return each target's probabilities (n, c) or numbers (n,); inputs run once through what targets share.

        Args:
            inputs: (n,) files, pictures, arrays or texts.
            contents: (n,) the hash of each input's content, where it is known.
            progress: called with (phase, done, total).

        Raises:
            DataError: an input cannot be read.
        """
        found: dict[str, np.ndarray] = {}
        ways: dict[tuple[object, ...], list[tuple[Model, Execution]]] = {}
        for one in self.models:
            way = one.execution.for_count(len(inputs))
            alike = (id(one.backbone), one.cut, way.precision, way.backend, way.cached)
            ways.setdefault(alike, []).append((one, way))
        for same in ways.values():
            first, way = same[0]
            group = [one for one, _ in same]
            features = features_of(
                first.backbone, inputs, cut=first.cut, execution=way, contents=contents, progress=progress
            )
            found |= {one.task.target: one.task.outputs(one.head.logits(features)) for one in group}
        return {target: found[target] for target in self.targets}

    def predict(self, inputs: object, *, progress: Progress = silent) -> list[Prediction]:
        """Answer every target for each input; one that cannot be read gets an error instead, and the rest goes on.

        Args:
            inputs: a file, folder, table, text, picture or array, or a list of them.
            progress: called with (phase, done, total).

        Raises:
            DataError: there is no input at all.
        """
        columns = list(dict.fromkeys(one.columns for one in self.models))
        if len(columns) > 1:
            parts = [MultiTaskModel(tuple(one for one in self.models if one.columns == own)) for own in columns]
            return side_by_side([one.predict(inputs, progress=progress) for one in parts])
        given = gathered(inputs, self.backbone, columns[0])
        readable = [one.value for one in given if one.error is None]
        outputs = self.outputs(readable, progress=progress) if readable else {}
        return predictions(given, (self._answer(outputs, place) for place in range(len(readable))))

    def _answer(self, outputs: Mapping[str, np.ndarray], place: int) -> dict[str, Any]:
        return {"targets": {one.task.target: one.task.answer(outputs[one.task.target][place]) for one in self.models}}

    def save(self, path: str | Path) -> Path:
        """Write the models as one folder, whole or not at all; a model of ours that was there is replaced.

        Of several processes started together only the first writes.

        Raises:
            StorageError: the disk is full, or something else is at `path`.
        """
        destination = user_path(path)
        if processes().rank == 0:
            artifact.write(destination, self._write_into)
        return destination

    def _write_into(self, folder: Path) -> None:
        parts = []
        for place, group in enumerate(self.shared):
            words = "-".join(re.sub(r"[^\w-]+", "-", one.task.target) for one in group)[:40]
            own = f"{artifact.PARTS}/{place}-{words}"
            (folder / own).mkdir(parents=True)
            write_into(folder / own, group)
            parts.append({"folder": own, "targets": [one.task.target for one in group]})
        manifest = {"headstart": __version__, "parts": parts, "targets": list(self.targets), "record": self.record}
        artifact.seal(folder, manifest, self.card())

    def card(self) -> str:
        """Return the model card: what is answered, by which network, and each target's own card."""
        lines = [f"# A model for {', '.join(f'`{target}`' for target in self.targets)}", ""]
        for group in self.shared:
            names = ", ".join(f"`{one.task.target}`" for one in group)
            together = " together" if len(group) > 1 else ""
            lines.append(f"- {names}: answered{together} by one network, {group[0].backbone.name}")
        return "\n".join([*lines, "", *(one.card() for one in self.models)])


def side_by_side(parts: Sequence[list[Prediction]]) -> list[Prediction]:
    """Return the answers of parts of a model side by side; where a part cannot read a table, no row is answered."""
    rows = max(map(len, parts))
    whole = [one * rows if len(one) == 1 and one[0].error is not None else one for one in parts]
    return [_merged(both) for both in zip(*whole, strict=True)]


def _merged(predictions: Sequence[Prediction]) -> Prediction:
    """Return one input's answers to targets that read other columns as one; the first error, where there is any."""
    for one in predictions:
        if one.error is not None:
            return one
    answers = {name: answer for one in predictions for name, answer in one.answer["targets"].items()}
    return Prediction(predictions[0].input, {"targets": answers})


def load(path: str | Path) -> Model | MultiTaskModel:
    """Load a saved model once it is found whole, unchanged, and giving the answers it gave when it was saved.

    Raises:
        ArtifactError: it is missing, damaged, changed, or answers differently on this machine.

    Example:
        >>> import headstart as hs, tempfile, pathlib
        >>> data = hs.read([("good film", "yes"), ("bad film", "no"), ("fine play", "yes"), ("dull", "no")])
        >>> place = pathlib.Path(tempfile.mkdtemp()) / "films.headstart"
        >>> hs.load(hs.adapt(data, backbone="wordllama").save(place)).task.labels
        ('no', 'yes')
    """
    saved = artifact.read(user_path(path))
    if "parts" not in saved.manifest:
        models = rebuilt(saved)
        return models[0] if len(models) == 1 else MultiTaskModel(tuple(models))
    found: dict[str, Model] = {}
    for part in saved.manifest["parts"]:
        found |= {one.task.target: one for one in rebuilt(artifact.read(saved.folder / part["folder"]))}
    try:
        models = [found[target] for target in saved.manifest["targets"]]
    except KeyError as error:
        raise ArtifactError(
            f"{saved.folder.name} lacks the network of {error}.", hint="copy the whole folder"
        ) from None
    return MultiTaskModel(tuple(models), saved.manifest["record"])
