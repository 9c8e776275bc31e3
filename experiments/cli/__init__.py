"""The command ``observer``: one file per group of commands. Imports nothing before it is called."""


def main() -> None:
    """Entry point of the command ``observer``: streams and signals first, then everything that takes time to import.

    It ends the process itself: what the interpreter does at its end (flushing, destructors, threads) could only fail.
    """
    import _signal  # pyright: ignore[reportMissingImports] # built in: the import of signal can be interrupted
    import os

    code, early = 130, []
    _signal.signal(_signal.SIGINT, lambda *_: early.append(True))
    try:
        from experiments.pipeline import stopping, streams

        streams.secure()
        stopping.listen(early)
        try:
            from experiments.cli.app import begin

            begin()
        except SystemExit as ended:
            code = int(ended.code or 0)
        except KeyboardInterrupt:
            code = stopping.conclude() or code
            raise
    except KeyboardInterrupt:  # before the application could answer it
        try:
            os.write(2, b"stopped\n")
        except OSError:  # nobody is there to read it
            pass
    os._exit(code)
