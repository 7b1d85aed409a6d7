"""How to train, as settings: each is described here once, for the command's help and for a file. Imports no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Recipe(BaseModel):
    """How to train. The defaults are the published CRAFT card's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(default=3e-5, gt=0, description="highest learning rate")
    batch_size: int = Field(default=8, ge=1, description="windows per step, over all workers")
    epochs: float = Field(default=4, gt=0, description="passes over the corpus")
    warmup: float = Field(default=0.0, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(default=0.0, ge=0, description="weight decay")
    dropout: float | None = Field(
        default=None, ge=0, lt=1, description="dropout of hidden states; default: the base model's"
    )
    attention_dropout: float | None = Field(
        default=None, ge=0, lt=1, description="dropout of attention weights; default: the base model's"
    )
    seed: int = Field(default=42, ge=0, description="seed of all randomness")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="number format of training; auto is bf16 if the device computes in it, else fp32"
    )
    bucket: bool = Field(
        default=False,
        description="group windows of similar length into batches: faster, in another order than the card's",
    )
    max_steps: int = Field(default=-1, ge=-1, description="stop after this many steps; -1: after all epochs")
    window_pieces: int = Field(
        default=0,
        ge=0,
        description="tokens up to which consecutive sentences share a window; 0: one sentence per window",
    )
    cased: bool = Field(default=False, description="give an uncased base model a cased vocabulary")
    swap: dict[str, float] = Field(
        default={}, description="share of a label's names that is replaced by other names, anew in each epoch"
    )
    averaged: int = Field(
        default=1, ge=1, description="trainings with different seeds whose weights are averaged (Wortsman et al. 2022)"
    )
    auxiliary_epochs: float = Field(
        default=1, gt=0, description="passes over the auxiliary corpora, before the corpus itself"
    )
    auxiliary_learning_rate: float | None = Field(
        default=None, gt=0, description="highest learning rate of these passes; default: the learning rate"
    )
    auxiliary_repeats: int = Field(default=1, ge=0, description="how often the corpus itself is part of each such pass")
