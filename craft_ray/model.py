"""Token ids to label ids and scores. Knows tensors, and neither text nor Ray."""

import warnings
from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from craft_ray.checkpoint import Checkpoint
from craft_ray.errors import SettingsError

Precision = Literal["fp32", "bf16", "fp16"]
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Model:
    """A checkpoint ready to predict on one device.

    token_budget: padded tokens a batch holds at the most; halves for good when a batch does not fit in memory.
    threads:      CPU threads of this process, or None to leave torch's choice.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        token_budget: int = 2048,
        threads: int | None = None,
    ) -> None:
        from transformers import AutoConfig, AutoModelForTokenClassification

        if precision not in get_args(Precision):
            raise SettingsError(f"unknown precision {precision!r}: choose one of {', '.join(get_args(Precision))}")
        if threads is not None:
            torch.set_num_threads(threads)
        config = AutoConfig.for_model(**checkpoint.config)
        model = AutoModelForTokenClassification.from_config(config)
        dtype = _DTYPES[precision]
        model.load_state_dict({name: _tensor(array, dtype) for name, array in checkpoint.weights.items()}, assign=True)
        self._model = model.to(device=device, dtype=dtype).eval()
        self._device = device
        self._prefix = np.array(checkpoint.prefix, np.int64)
        self._suffix = np.array(checkpoint.suffix, np.int64)
        self._padding = int(config.pad_token_id or 0)
        self.token_budget = token_budget

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
        for where, logits in self._batches(token_ids, window_length):
            best = logits.float().softmax(-1).max(-1)
            label[where] = best.indices.to(torch.int8).cpu().numpy()
            score[where] = best.values.cpu().numpy()
        return label[word_piece], score[word_piece]

    def logits(
        self,
        token_ids: NDArray[np.int32],
        window_length: NDArray[np.int32],
        word_piece: NDArray[np.int32],
    ) -> NDArray[np.float32]:
        """What `predict` takes its labels from: (words, labels), before the softmax."""
        result = np.zeros((len(token_ids), int(self._model.num_labels)), np.float32)
        for where, logits in self._batches(token_ids, window_length):
            result[where] = logits.float().cpu().numpy()
        return result[word_piece]

    def _batches(
        self, token_ids: NDArray[np.int32], window_length: NDArray[np.int32]
    ) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
        """Run all windows, longest first; yield positions in `token_ids` and their logits (positions, labels)."""
        starts = np.cumsum(window_length, dtype=np.int64) - window_length
        order = np.argsort(-window_length, kind="stable")
        extra = len(self._prefix) + len(self._suffix)
        done = 0
        while done < len(order):
            size = _batch_size(window_length[order[done:]], extra, self.token_budget)
            batch = order[done : done + size]
            try:
                logits = self._run(token_ids, starts[batch], window_length[batch])
            except RuntimeError as error:
                if not _out_of_memory(error) or size == 1:
                    raise
                self.token_budget //= 2
                continue
            yield _ranges(starts[batch], window_length[batch]), logits
            done += size

    @torch.inference_mode()
    def _run(self, token_ids: NDArray[np.int32], starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> torch.Tensor:
        """Logits (pieces, labels) of one batch of windows, window after window."""
        before, after = len(self._prefix), len(self._suffix)
        column = np.arange(int(lengths.max()) + before + after)
        piece = column[None, :] - before
        inside = (piece >= 0) & (piece < lengths[:, None])
        ids = np.full(inside.shape, self._padding, np.int64)
        ids[inside] = token_ids[_ranges(starts, lengths)]
        ids[:, :before] = self._prefix
        ids[np.arange(len(lengths))[:, None], lengths[:, None] + before + np.arange(after)] = self._suffix
        mask = column[None, :] < lengths[:, None] + before + after
        logits: torch.Tensor = self._model(
            input_ids=torch.from_numpy(ids).to(self._device),
            attention_mask=None if mask.all() else torch.from_numpy(mask.astype(np.int64)).to(self._device),
        ).logits
        return logits[torch.from_numpy(inside).to(self._device)]


def _batch_size(lengths: NDArray[np.int32], extra: int, budget: int) -> int:
    """How many of the windows, longest first, fit the budget; at least one."""
    return max(1, min(len(lengths), budget // (int(lengths[0]) + extra)))


def _ranges(starts: NDArray[np.int64], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """The concatenation of `arange(start, start + length)`."""
    ends = np.cumsum(lengths, dtype=np.int64)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(ends[-1] if len(ends) else 0)


def _tensor(array: NDArray[np.generic], dtype: torch.dtype) -> torch.Tensor:
    """An array as a tensor, in place where the type allows: replicas of a node share the object store's pages."""
    with warnings.catch_warnings():
        # Arrays out of the object store are read-only, of which torch warns; inference never writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory, on a GPU or (by its message alone) on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
