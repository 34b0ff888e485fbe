"""A part of a surrogate: a few rules, their settings, and the numbers that the rules change."""

from dataclasses import dataclass, fields
from typing import Any


@dataclass
class Part:
    """A subclass is a dataclass. Its `settings` are frozen; every other field is state: tensors and plain values."""

    settings: Any

    def state_dict(self) -> dict[str, Any]:
        """Every field but the settings."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "settings"}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)
