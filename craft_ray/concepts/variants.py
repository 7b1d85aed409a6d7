"""Variants of a mention to look up if it matches no name. Rules are about language, none about a single concept."""

import re
from collections.abc import Callable, Iterable, Iterator

from craft_ray.concepts.context import Context
from craft_ray.concepts.forms import is_symbol
from craft_ray.concepts.terms import GENES

Variants = Callable[[str, str, Context], Iterable[str]]
"""Takes a mention, its prefix and its document, and returns strings to look up, best first."""


SYMBOLS = frozenset({"PR", GENES})
"""Prefixes whose names are symbols without endings: `Apcs` is not the plural of `Apc`."""


def expanded(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Expand abbreviations that the document defines within a mention: `type I AECs`."""
    changed = context.expanded(mention)
    if changed != mention:
        yield changed


def reordered(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`arm of the chromosome` as `chromosome arm`, and vice versa."""
    parts = re.split(r"\s+(?:of|in|within|for|from)\s+(?:the\s+|an?\s+)?", mention)
    if len(parts) == 2:
        yield f"{parts[1]} {parts[0]}"
    elif len(parts) == 1 and len(words := mention.split()) in (2, 3):
        yield f"{words[-1]} of {' '.join(words[:-1])}"
        yield f"{words[-1]} of {' '.join(words[:-1])}s"
        if len(words) == 3:
            yield f"{words[1]} {words[2]} of {words[0]}"


_HEADS = {
    "CL": ("cell", "neuron", "muscle cell"),
    "GO": ("complex", "membrane", "body", "holo complex", "core complex"),
    "PR": ("protein",),
    "SO": ("site", "region", "sequence", "of replication"),
    "CHEBI": ("atom", "acid", "molecule", "group", "residue", "agent"),
    "MONDO": ("disease", "syndrome", "disorder"),
}


def with_head(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Append a noun that is often omitted: `astroglial` cell, `TFIIH` complex."""
    for head in _HEADS.get(prefix, ()) if len(mention) > 1 else ():
        yield f"{mention} {head}"


_TAILS = {
    prefix: rf"[\s-]+(?:{nouns})$"
    for prefix, nouns in {
        "CL": "cells?|neurons?|lineages?|populations?|cultures?|lines?",
        "GO": "complex(?:es)?|structures?|compartments?|membranes?|proteins?|regions?|particles?",
        "PR": "proteins?|genes?|complex(?:es)?|receptors?|polypeptides?|peptides?|subunits?|family|isoforms?|alleles?"
        "|locus|factors?|homologs?",
        "SO": "sites?|regions?|sequences?|elements?|loc(?:us|i)",
        "NCBITaxon": r"spp?\.?|species|strains?|cells?|organisms?|individuals?|populations?",
        "CHEBI": "ions?|molecules?|groups?|residues?|compounds?|derivatives?|salts?|moiety|moieties|atoms?|agents?"
        "|levels?|solutions?",
        "MONDO": "diseases?|disorders?|syndromes?|conditions?|illness(?:es)?|lesions?|episodes?|attacks?|symptoms?"
        "|patients?|carriers?|families|phenotypes?",
    }.items()
}


def without_head(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Remove a noun that only names the kind of thing: `Pax6 protein`, `ischemic attack`."""
    if tails := _TAILS.get(prefix):
        shorter = re.sub(tails, "", mention)
        if shorter != mention:
            yield shorter


def enumerated(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Repeat the stem at each number of `Mcm4/6/7`; if they have no name together, the first of them."""
    if match := re.fullmatch(r"(\D+)(\d+(?:[/,-]\d+)+)", mention):
        stem, numbers = match.groups()
        each = [stem + number for number in re.split("[/,-]", numbers)]
        names = "-".join(each)
        yield names
        yield f"{names} complex"
        yield each[0]


def with_genus(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Replace the initial of `T. rubripes` by words of the document that may be its genus."""
    if prefix == "NCBITaxon" and (match := re.fullmatch(r"([A-Z])[a-z]?(?:\. ?| )([a-z]{3,}.*)", mention)):
        for word in context.capitalised.get(match.group(1), ())[:50]:
            yield f"{word} {match.group(2)}"


_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5"}


def numbered(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`hexokinase II` as `hexokinase 2`, `HKI` as `HK1`, and vice versa, except in symbols: `E1A` is not `EIA`."""
    if match := re.fullmatch(r"(.+?[^IVX])(I{1,3}|I?V)([ABab]?)", mention):
        yield match.group(1) + _ROMAN[match.group(2)] + match.group(3)
    elif prefix not in SYMBOLS and (match := re.fullmatch(r"(.*[A-Za-z][ -]?)([1-5])([AB]?)", mention)):
        roman = next(name for name, digit in _ROMAN.items() if digit == match.group(2))
        yield match.group(1) + roman + match.group(3)


def as_noun(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Nouns of an adjective: `centrosomal` as `centrosome`, `viral` as `virus`; Latin names of a taxon."""
    if prefix in SYMBOLS:
        return
    for ending, others in _NOUNS:
        if mention.endswith(ending) and len(mention) > len(ending) + 3:
            for other in others:
                yield mention[: -len(ending)] + other
    if prefix == "NCBITaxon":
        stem = re.sub(r"(?:es|s|e)$", "", mention)
        for ending in ("ia", "ei", "a", "i", "idae", "us", "ida", "ae"):
            yield stem + ending


_NOUNS = (
    ("somal", ("some", "soma")),
    ("viral", ("virus",)),
    ("virus", ("viridae",)),
    ("viruses", ("viridae",)),
    ("al", ("", "e", "a", "us", "um", "on", "is")),
    ("ar", ("e", "us", "a", "um")),
    ("otic", ("osis",)),
    ("etic", ("etes",)),
    ("ic", ("", "e", "a", "us", "on", "um", "ine", "is", "ia", "y")),
    ("ive", ("ion",)),
    ("ous", ("", "e", "us", "a")),
    ("ian", ("ism",)),
    ("an", ("a", "", "um")),
    ("ine", ("", "us", "a")),
    ("ate", ("ic acid", "ata", "ate(1-)")),
    ("oid", ("", "oidea")),
    ("ed", ("", "e")),
)


def longer_in_context(mention: str, prefix: str, context: Context) -> Iterable[str]:
    """Longer names in the document that end with the mention: `replication fork` for `fork`."""
    return context.ending_with(mention) if prefix in ("CL", "GO", "SO") else ()


_SWAPS = {
    prefix: tuple((rf"(.+[\s-])(?:{nouns})", others) for nouns, others in pairs)
    for prefix, pairs in {
        "SO": (
            (
                "sites?|regions?|sequences?|segments?|elements?|signals?",
                ("region", "site", "sequence", "element", "signal", "segment"),
            ),
        ),
        "CL": (
            (
                "fib(?:er|re)s?|neurons?|cells?",
                ("muscle cell", "cell", "neuron", "ganglion neuron", "receptor cell"),
            ),
        ),
        "GO": (
            (
                "complex(?:es)?|membranes?|particles?|granules?|vesicles?|bod(?:y|ies)|structures?",
                ("complex", "body", "granule", "vesicle"),
            ),
        ),
        "MONDO": (
            (
                "tumou?rs?|cancers?|neoplas(?:ms?|ias?)|carcinomas?|malignanc(?:y|ies)",
                ("neoplasm", "cancer", "carcinoma"),
            ),
            (
                "dis(?:ease|order)s?|syndromes?|dysfunctions?|damages?|injur(?:y|ies)|toxicit(?:y|ies)|impairments?"
                "|abnormalit(?:y|ies)|defects?|complications?|lesions?|involvement|insufficiency",
                ("disease", "disorder", "syndrome"),
            ),
            ("deficien(?:t|cies)", ("deficiency",)),
        ),
    }.items()
}


def other_head(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Replace a noun by others of its kind: `paralogous segment` as `paralogous region`."""
    for old, others in _SWAPS.get(prefix, ()):
        if match := re.fullmatch(old, mention):
            for other in others:
                yield match.group(1) + other


_ANY_DISEASE = (
    "(?:dis(?:ease|order)|syndrome|defect|injury|tumou?r|cancer|neoplasm|malignancy|deficiency|(?:co-?)?infection)s?"
    "|(?:co-?)?infected|injuries|malignancies|deficien(?:t|cies)"
)


def without_qualifier(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Remove what is in parentheses; of a disease, its cause and its kind: `drug-induced`, `sporadic`."""
    plain = re.sub(r"\s+\([^()]+\)", "", mention)
    if plain != mention:
        yield plain
    if prefix == "MONDO":
        words = plain.split(maxsplit=1)
        if caused := re.fullmatch(r"\S+[- ](?:induced|associated|related|mediated)\s+(.+)", plain):
            yield caused.group(1)
        elif len(words) == 2 and not re.fullmatch(_ANY_DISEASE, words[1]):
            yield words[1]


_GREEK_INITIALS = {"a": "alpha", "b": "beta", "g": "gamma", "d": "delta", "k": "kappa"}
_GREEK_INITIAL = r"(?:(?<![A-Za-z])|(?<=[A-Z0-9]))[abgdk](?=[-\s0-9A-Z]|$)"


def with_greek(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """Spell out Greek letters that a text writes as Latin ones: `b-catenin`, `NF-kB`, `IL-1b`."""
    if prefix in SYMBOLS and not is_symbol(mention):
        changed = re.sub(_GREEK_INITIAL, lambda match: _GREEK_INITIALS[match.group()], mention)
        if changed != mention:
            yield changed


def in_symbol(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`D2R` as `D2 receptor`."""
    if prefix in SYMBOLS and (match := re.fullmatch(r"(.*[A-Z0-9])R(s?)", mention)):
        yield f"{match.group(1)} receptor{match.group(2)}"


def spelling(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`cineol` as `cineole`, `thiamine` as `thiamin`."""
    if prefix == "CHEBI":
        yield mention[:-1] if mention.endswith("e") else mention + "e"
        if re.match("[no]-", mention):
            yield mention[2:]
        if mention.endswith("ic acid"):
            yield mention[:-7] + "ate"


VARIANTS: dict[str, Variants] = {
    "abbreviation": expanded,
    "word order": reordered,
    "longer head": with_head,
    "other head": other_head,
    "shorter head": without_head,
    "enumeration": enumerated,
    "genus": with_genus,
    "numeral": numbered,
    "Greek letter": with_greek,
    "spelling": spelling,
    "noun": as_noun,
    "symbol": in_symbol,
    "qualifier": without_qualifier,
    "context": longer_in_context,
}
"""Kinds of variants, in the order in which they are tried. The names are values of `concept_match`."""

CONTEXT_FIRST = frozenset({"abbreviation", "genus"})
CONTEXT_LAST = frozenset({"context"})
CONTEXT_FREE = frozenset(VARIANTS) - CONTEXT_FIRST - CONTEXT_LAST
"""Kinds that depend on the mention alone, and those that depend on its document, tried before and after the former."""

REWORDED = frozenset({"longer head", "other head", "noun", "qualifier"})
"""Kinds that add, replace or drop words, so that they fit much that is no mention."""

BEFORE_RELATED = frozenset({"abbreviation", "word order"})
"""Kinds that are more reliable than a related, narrow or broad synonym."""
