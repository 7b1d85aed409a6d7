"""Other ways to say a mention, for mentions that match no name as they are; each a small pure function.

A variant is a string to look up in the mention's ontology. Rules are of the language, none of a single concept.
"""

import re
from collections.abc import Callable, Iterable, Iterator

from craft_ray.concepts.context import Context

Variants = Callable[[str, str, Context], Iterable[str]]
"""From a mention, its ontology's prefix and its document to variants, best first."""


SYMBOLS = frozenset({"PR"})
"""Prefixes whose names are symbols, which have no endings to change: `Apcs` is not the plural of `Apc`."""


def written_out(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """The mention with the abbreviations of its document written out: `RGCs`, `type I AECs`."""
    if not context.defined:
        return
    if long := context.long_form(mention):
        yield long
    changed = re.sub(r"[\w+-]+", lambda match: context.long_form(match.group()) or match.group(), mention)
    if changed not in (mention, long):
        yield changed


def turned(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`arm of the chromosome` as `chromosome arm`, and the other way round."""
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
    "PR": ("protein", "receptor"),
    "SO": ("site", "region", "sequence", "of replication"),
    "CHEBI": ("atom", "acid", "molecule", "group", "residue", "agent"),
}


def with_head(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """The mention with the noun that is often left out: `astroglial` cell, `TFIIH` complex."""
    for head in _HEADS.get(prefix, ()):
        yield f"{mention} {head}"


_TAILS = {
    "CL": re.compile(
        r"[\s-]+(?:cells?|neurons?|lineages?|populations?|cultures?|lines?"
        r")$"
    ),
    "GO": re.compile(
        r"[\s-]+(?:complex(?:es)?|structures?|compartments?|membranes?|proteins?|regions?|particles?"
        r")$"
    ),
    "PR": re.compile(
        r"[\s-]+(?:proteins?|genes?|complex(?:es)?|receptors?|polypeptides?|peptides?|subunits?|family"
        r"|isoforms?|alleles?|locus|factors?|homologs?"
        r")$"
    ),
    "SO": re.compile(
        r"[\s-]+(?:sites?|regions?|sequences?|elements?|loc(?:us|i)"
        r")$"
    ),
    "NCBITaxon": re.compile(
        r"[\s-]+(?:spp?\.?|species|strains?|cells?|organisms?|individuals?|populations?"
        r")$"
    ),
    "CHEBI": re.compile(
        r"[\s-]+(?:ions?|molecules?|groups?|residues?|compounds?|derivatives?|salts?|moiety|moieties|atoms?|agents?"
        r"|levels?|solutions?"
        r")$"
    ),
}


def without_head(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """The mention without a noun that says only what kind of thing it is: `Pax6 protein`."""
    if tails := _TAILS.get(prefix):
        shorter = tails.sub("", mention)
        if shorter != mention:
            yield shorter


def enumerated(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`Mcm4/6/7` with the stem at each number."""
    if match := re.fullmatch(r"(\D+)(\d+(?:[/,-]\d+)+)", mention):
        stem, numbers = match.groups()
        said = "-".join(stem + number for number in re.split("[/,-]", numbers))
        yield said
        yield f"{said} complex"


def with_genus(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`T. rubripes` with each word of the document that may be its genus."""
    if prefix == "NCBITaxon" and (match := re.fullmatch(r"([A-Z])[a-z]?\. ?([a-z]{3,}.*)", mention)):
        for word in context.capitalised.get(match.group(1), ())[:50]:
            yield f"{word} {match.group(2)}"


_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5"}


def numbered(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`hexokinase II` as `hexokinase 2`, `HKI` as `HK1`, and the other way round."""
    if match := re.fullmatch(r"(.+?[^IVX])(I{1,3}|I?V)([ABab]?)", mention):
        yield match.group(1) + _ROMAN[match.group(2)] + match.group(3)
    elif match := re.fullmatch(r"(.*[A-Za-z][ -]?)([1-5])([AB]?)", mention):
        roman = next(name for name, digit in _ROMAN.items() if digit == match.group(2))
        yield match.group(1) + roman + match.group(3)


def as_noun(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """The noun of an adjective: `centrosomal` as `centrosome`, `viral` as `virus`; of a taxon its Latin name."""
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
    ("ic", ("", "e", "a", "us", "on", "um", "ine", "is")),
    ("ous", ("", "e", "us")),
    ("an", ("a", "", "um")),
    ("ine", ("", "us", "a")),
    ("ate", ("ic acid", "ata", "ate(1-)")),
    ("oid", ("", "oidea")),
    ("ed", ("", "e")),
)


def longer_here(mention: str, prefix: str, context: Context) -> Iterable[str]:
    """The names in full that the document has for the mention: `replication fork` for `fork`."""
    return context.ending_with(mention) if prefix in ("CL", "GO", "SO", "NCBITaxon") else ()


_SWAPS = {
    "SO": (
        re.compile(r"(.+[\s-])(?:sites?|regions?|sequences?|segments?|elements?|signals?)"),
        ("region", "site", "sequence", "element", "signal", "segment"),
    ),
    "CL": (
        re.compile(r"(.+[\s-])(?:fib(?:er|re)s?|neurons?|cells?)"),
        ("muscle cell", "cell", "neuron", "ganglion neuron", "receptor cell"),
    ),
    "GO": (
        re.compile(r"(.+[\s-])(?:complex(?:es)?|membranes?|particles?|granules?|vesicles?|bod(?:y|ies)|structures?)"),
        ("complex", "body", "granule", "vesicle"),
    ),
}


def other_head(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`paralogous segment` with another noun of its kind: `paralogous region`."""
    if prefix in _SWAPS:
        old, others = _SWAPS[prefix]
        if match := old.fullmatch(mention):
            for other in others:
                yield match.group(1) + other


def in_symbol(mention: str, prefix: str, context: Context) -> Iterator[str]:
    """`hPLAP` without the letter of its species, `D2R` as `D2 receptor`."""
    if prefix in SYMBOLS:
        if re.match("[hmr][A-Z]", mention):
            yield mention[1:]
        if match := re.fullmatch(r"(.*[A-Z0-9])R(s?)", mention):
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
    "abbreviation": written_out,
    "word order": turned,
    "longer head": with_head,
    "other head": other_head,
    "shorter head": without_head,
    "enumeration": enumerated,
    "genus": with_genus,
    "numeral": numbered,
    "spelling": spelling,
    "noun": as_noun,
    "symbol": in_symbol,
    "context": longer_here,
}
"""The kinds of variants in the order in which they are tried; a kind's name is what `concept_match` says."""

OF_DOCUMENT = frozenset({"abbreviation", "genus", "context"})
"""Kinds that ask the mention's document; the others give the same wherever the mention stands."""

BEFORE_RELATED = frozenset({"abbreviation", "word order"})
"""Kinds that are surer than a related, narrow or broad synonym."""
