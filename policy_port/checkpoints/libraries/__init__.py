"""One file per training library, with a row in `load.LIBRARIES`.

Each has `evidence(source: Source) -> tuple[str, ...]`, why the file is one of that library or nothing;
`load(source: Source, options: LoadOptions) -> Loaded`, which builds the actor or raises CheckpointError; and
`SUPPORTED`, what of the library is read, in words.
"""
