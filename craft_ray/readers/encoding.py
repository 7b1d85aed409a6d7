"""Text is UTF-8. What is not is named, with advice."""

UTF_16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
"""Encodings by their byte order marks."""

UTF_16_ADVICE = "UTF-16: convert it with iconv -f UTF-16 -t UTF-8"


def not_utf8(error: UnicodeDecodeError) -> str:
    return f"{error}; if it is Windows-1252 or Latin-1, convert it with iconv -f WINDOWS-1252 -t UTF-8"
