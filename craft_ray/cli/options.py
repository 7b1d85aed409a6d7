"""Options that several commands take."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on the last line of stdout.")]
ModelOption = Annotated[
    str | None,
    typer.Option(help="`embedded`, a folder (local or s3://), or a Hugging Face id.", show_default="embedded"),
]
Output = Annotated[str, typer.Argument(help="Folder of the tables, on disk or s3://.", metavar="OUT")]
At = Annotated[
    str | None,
    typer.Option(help="Run id (or its beginning), or version of `documents`.", metavar="V", show_default="now"),
]
