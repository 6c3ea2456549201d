"""Agreement with numbers that official contracts produced, one family per file of vectors.

A family is a module of this package with the name of its file (`aave_v3` for `aave_v3.json`) and

    def checks(document: dict[str, Any]) -> Iterator[Check]: ...

that recomputes every row by the kernels of `sim`. A new module is a new family; nothing lists them.
Rows are named `block[place]`, by the block of the document that they stand in, so that the command
can tell which rows no check looked at.
"""
