"""Checkpoints of eight families give the spans of transformers' own pipeline."""

from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerBase, PreTrainedTokenizerFast, pipeline

from craft_ray.annotation.tagger import Tagger
from craft_ray.model.loading import load_checkpoint
from craft_ray.model.sentences import sentence_spans

LABELS = ("O", "B-Gene", "I-Gene", "B-Taxon", "I-Taxon")
TEXTS = (
    "Pax6 and TP53 bind IL-2Rα in mice; TNF-α−/− cells (n=5) die.",
    "β-catenin's role: 5′-UTR, p.Val600Glu,\tCa2+ → Na+/K+-ATPase.\nA new line\r\nof Müller  glia",
    "(TP53)/p21 ≥ 2-fold\u00a0up “in vivo”; α- and γ-tubulin, 𝛽2m, 中 [UNK].",
    "Δψm of 100% HeLa-S3\n\n\nTP53-null mice, TP53+/− and TP53",
)


def modernbert_tokenizer() -> PreTrainedTokenizerFast:
    """As in the published checkpoints; transformers has no class of its own for it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    tokenizer.add_special_tokens(list(special.values()))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


FAMILIES = {
    "Bert": transformers.BertTokenizer,
    "DistilBert": transformers.BertTokenizer,
    "DebertaV2": transformers.DebertaV2Tokenizer,
    "Electra": transformers.BertTokenizer,
    "ModernBert": modernbert_tokenizer,
    "Roberta": transformers.RobertaTokenizer,
    "XLMRoberta": transformers.XLMRobertaTokenizer,
    "BigBird": transformers.BigBirdTokenizer,
}


def save_random(family: str, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """A small model whose seeded random weights predict all labels."""
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    if family == "DistilBert":
        size = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    config = getattr(transformers, f"{family}Config")(
        **size, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, id2label=dict(enumerate(LABELS))
    )
    torch.manual_seed(0)
    model = AutoModelForTokenClassification.from_config(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.normal_()
        model.classifier.weight.normal_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("vocabulary", [150, 600])
@pytest.mark.parametrize("family", FAMILIES)
def test_spans_are_those_of_the_pipeline(family: str, vocabulary: int, tmp_path: Path):
    """Also with the blanks that some tokenizers count to a word, and where a letter of several bytes is cut. Spans
    without text, which pieces without text give, are left out.
    """
    tokenizer = FAMILIES[family]().train_new_from_iterator([*TEXTS[:2]] * 3, vocabulary)
    save_random(family, tokenizer, tmp_path)
    tagger = Tagger(load_checkpoint(str(tmp_path)), "fp32")
    theirs = pipeline("token-classification", model=str(tmp_path), aggregation_strategy="first", device="cpu")
    sentences = [text[a:b] for text in TEXTS for a, b in sentence_spans(text)]
    labels = set()
    for sentence in sentences:
        found, expected = tagger.tag(sentence), [e for e in theirs(sentence) if e["start"] < e["end"]]
        same = [(e["entity_group"], e["start"], e["end"]) for e in expected]
        assert [(e.label, e.start, e.end) for e in found] == same, sentence
        assert [e.score for e in found] == pytest.approx([float(e["score"]) for e in expected], abs=1e-4)
        labels |= {label for label, _, _ in same}
    assert labels == {"Gene", "Taxon"}
