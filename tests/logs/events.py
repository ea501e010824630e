"""Events as a logger makes them."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger, LogLevel

WHEN = 1_800_000_000.25


def event(format: str, *, level: LogLevel = LogLevel.info, **values: Any) -> dict[str, Any]:
    told: list[dict[str, Any]] = []
    Logger("securegw.flow.delivery", observer=told.append).emit(level, format, **values)  # type: ignore[arg-type]
    return {**told[0], "log_time": WHEN}


def failure(error: Exception, format: str = "it failed") -> dict[str, Any]:
    told: list[dict[str, Any]] = []
    logger = Logger("securegw.flow.delivery", observer=told.append)  # type: ignore[arg-type]
    try:
        raise error
    except Exception:
        logger.failure(format)
    return told[0]
