"""Read local text files of corpora and ontologies."""

import gzip
import zlib
from pathlib import Path

from craft_ray.core.errors import SettingsError


def read_text(path: Path, description: str) -> str:
    r"""Return the UTF-8 text of a plain or gzip file (`.gz`), with `\n` line ends.

    description: names the file in error messages, such as "the corpus"

    Raises SettingsError if the file cannot be read.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except OSError as error:
        reason = error.strerror or error  # gzip's own errors have no strerror
        raise SettingsError(f"cannot read {description} {path}: {reason}") from error
    except (EOFError, zlib.error) as error:
        raise SettingsError(f"cannot read {description} {path}: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"cannot read {description} {path}: it is not UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
