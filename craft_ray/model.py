"""Token ids to label ids and scores. Knows tensors, and neither text nor Ray."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from craft_ray.batches import Batch, Batches, Frame
from craft_ray.checkpoint import Checkpoint, StandIn
from craft_ray.engines import Engine, GraphEngine, OutOfMemory, StandInEngine, TorchEngine
from craft_ray.errors import SettingsError
from craft_ray.graph import Graph, convert

Precision = Literal["fp32", "bf16", "fp16", "int8"]
EngineName = Literal["openvino", "torch"]


@dataclass(frozen=True, slots=True)
class ModelForm:
    """A checkpoint made ready for a kind of device: what replicas are made from, wherever they are."""

    content: Graph | Checkpoint | StandIn
    frame: Frame
    n_labels: int
    device: str
    precision: Precision
    compile: bool = False


def choose(
    checkpoint: Checkpoint, device: str, precision: Precision | Literal["auto"], engine: EngineName | Literal["auto"]
) -> tuple[Precision, EngineName]:
    """What `auto` stands for: fp16 by torch on a GPU. On a CPU OpenVINO, in int8 where the checkpoint has ranges for it
    and the processor multiplies 8-bit integers, else in bf16 where the processor does, else in fp32.

    Raises SettingsError for what the device cannot compute.
    """
    if precision not in ("auto", *get_args(Precision)):
        raise SettingsError(f"unknown precision {precision!r}: choose auto or one of {', '.join(get_args(Precision))}")
    if engine == "auto":
        engine = "torch" if device != "cpu" else "openvino"
    if engine == "openvino" and device != "cpu":
        raise SettingsError("OpenVINO runs on the CPU alone: choose the engine torch for a GPU")
    allowed = {"openvino": ("fp32", "bf16", "int8"), "torch": ("fp32", "bf16", "fp16")}[engine]
    if precision == "auto":
        if device != "cpu":
            precision = "fp16"
        elif engine == "openvino":
            precision = _fastest(checkpoint)
        else:
            precision = "fp32"
    if precision not in allowed:
        raise SettingsError(f"the engine {engine} computes in {', '.join(allowed)}, not in {precision}")
    if precision == "int8" and not checkpoint.activation_ranges:
        raise SettingsError(f"the model {checkpoint.source} has no activation_ranges, which int8 needs")
    return precision, engine


def _fastest(checkpoint: Checkpoint) -> Precision:
    import torch

    able = torch.cpu.get_capabilities()
    # Processors without these add products in 16 bits, which overflow.
    if checkpoint.activation_ranges and any(able.get(name) for name in ("avx512_vnni", "avx_vnni", "i8mm")):
        return "int8"
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


def make_form(
    checkpoint: Checkpoint,
    device: str = "cpu",
    precision: Precision | Literal["auto"] = "auto",
    engine: EngineName | Literal["auto"] = "auto",
    compile: bool = False,
) -> ModelForm:
    """Make a checkpoint ready to ship; `compile` has each replica run `torch.compile`, where torch is the engine.

    Raises SettingsError for a precision or an engine that the device or the checkpoint does not allow.
    """
    frame = Frame.of(checkpoint)
    n_labels = len(checkpoint.id2label)
    if checkpoint.stand_in is not None:
        return ModelForm(checkpoint.stand_in, frame, n_labels, device, "fp32")
    chosen, by = choose(checkpoint, device, precision, engine)
    content = convert(checkpoint, chosen) if by == "openvino" else checkpoint  # type: ignore[arg-type]
    return ModelForm(content, frame, n_labels, device, chosen, compile and by == "torch")


class Model:
    """A model form at work.

    token_budget: padded tokens a batch holds at the most; halves for good when a batch does not fit in memory.
    threads:      CPU threads of this process
    """

    def __init__(self, form: ModelForm, *, token_budget: int = 512, threads: int = 1) -> None:
        self._engine = _engine(form, threads)
        self._frame = form.frame
        self._n_labels = form.n_labels
        self.token_budget = token_budget

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        precision: Precision | Literal["auto"] = "auto",
        *,
        engine: EngineName | Literal["auto"] = "auto",
        token_budget: int = 512,
    ) -> "Model":
        """A model on all of this machine's CPU."""
        form = make_form(checkpoint, "cpu", precision, engine)
        return cls(form, token_budget=token_budget, threads=os.cpu_count() or 1)

    def predict(
        self,
        token_ids: NDArray[np.int32],
        window_length: NDArray[np.int32],
        word_piece: NDArray[np.int32],
    ) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        """Label id and its probability for each word, read at the word's first piece.

        token_ids (pieces,), window_length (windows,), word_piece (words,) as in `windows.Windows`; returns two
        arrays of shape (words,).
        """
        label = np.zeros(len(token_ids), np.int8)
        score = np.zeros(len(token_ids), np.float32)
        for batch, (labels, scores) in self._run(token_ids, window_length):
            label[batch.position] = labels[batch.inside]
            score[batch.position] = scores[batch.inside]
        return label[word_piece], score[word_piece]

    def logits(
        self,
        token_ids: NDArray[np.int32],
        window_length: NDArray[np.int32],
        word_piece: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """What `predict` takes its labels from: (words, labels), before the softmax."""
        logits = np.zeros((len(token_ids), self._n_labels), np.float32)
        for batch in Batches.of(token_ids, window_length, self._frame).all(self.token_budget):
            logits[batch.position] = self._engine.logits(batch)[batch.inside]
        return logits[word_piece]

    def _run(
        self, token_ids: NDArray[np.int32], window_length: NDArray[np.int32]
    ) -> Iterator[tuple[Batch, tuple[NDArray[np.int8], NDArray[np.float32]]]]:
        """All windows in batches, some always under way."""
        batches = Batches.of(token_ids, window_length, self._frame)
        started: deque[tuple[int, Batch, Any]] = deque()
        ahead = 0
        while started or ahead < len(batches):
            if ahead < len(batches) and len(started) < self._engine.depth:
                batch = batches.cut(ahead, self.token_budget)
                try:
                    started.append((ahead, batch, self._engine.start(batch)))
                except OutOfMemory as error:
                    self._shrink(batch, error)
                    continue
                ahead += len(batch.n_tokens)
                continue
            first, batch, handle = started.popleft()
            try:
                yield batch, self._engine.finish(handle)
            except OutOfMemory as error:
                self._shrink(batch, error)
                # It and those behind it are begun again; what the engine still computes of them is dropped.
                ahead = first
                started.clear()

    def _shrink(self, batch: Batch, error: OutOfMemory) -> None:
        if len(batch.n_tokens) == 1:
            raise error
        self.token_budget //= 2


def _engine(form: ModelForm, threads: int) -> Engine:
    if isinstance(form.content, Graph):
        return GraphEngine(form.content, threads)
    if isinstance(form.content, StandIn):
        return StandInEngine(form.content)
    return TorchEngine(form.content, form.device, form.precision, threads, form.compile)
