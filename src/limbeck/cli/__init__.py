"""The command line. It imports torch only when a command needs it."""

from __future__ import annotations

from limbeck.cli.app import app, main

__all__ = ["app", "main"]
