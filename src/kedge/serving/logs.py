"""How Kedge's long-running processes log: one line an event, to standard error."""

import sys

import structlog


def log_to_stderr() -> None:
    """From now on. Tracebacks are plain: with the values of variables they would show passwords, on many lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


__all__ = ["log_to_stderr"]
