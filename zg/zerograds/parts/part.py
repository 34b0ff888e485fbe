"""Parts of a surrogate: a few rules, their settings, and the numbers that the rules change."""

from dataclasses import dataclass, fields
from typing import Any


class Group:
    """A dataclass whose fields are state that belongs together: tensors and plain values."""

    def state_dict(self) -> dict[str, Any]:
        """Every field but the settings, if there are any."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "settings"}  # type: ignore[arg-type]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name, value in state.items():
            setattr(self, name, value)


@dataclass
class Part(Group):
    """A group with rules. A subclass is a dataclass; its `settings` are frozen, every other field is state."""

    settings: Any
