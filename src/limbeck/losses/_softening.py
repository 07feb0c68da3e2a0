"""What all losses between softened distributions keep."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from limbeck.errors import ArgumentError
from limbeck.losses._temperature import Temperature, as_temperature

__all__ = ["Softened", "Tempered"]


class Tempered(nn.Module):
    """Keeps a temperature."""

    def __init__(self, operation: str, temperature: Temperature) -> None:
        super().__init__()
        self.temperature = as_temperature(operation, temperature)

    @property
    def temperature_in_force(self) -> float | Tensor:
        """T at the current optimizer step: a number, or a tensor without axes where it moves or is learned."""
        temperature = self.temperature
        if isinstance(temperature, nn.Module):
            value: Tensor = temperature()
            return value
        return temperature

    def for_rows(self, temperature: Tensor | None) -> float | Tensor:
        """T in force, or `[*]` for each row where a term binds the loss's argument ``temperature``.

        Raises:
            ArgumentError: if both are given: a T of each row, and one that moves or is learned.
        """
        if temperature is None:
            return self.temperature_in_force
        if isinstance(self.temperature, nn.Module):
            raise ArgumentError(
                f"{type(self).__name__}: every row has its own temperature, so {type(self.temperature).__name__} would "
                "move nothing; leave one of the two out"
            )
        return temperature

    def extra_repr(self) -> str:
        # A module prints itself.
        return "" if isinstance(self.temperature, nn.Module) else f"temperature={self.temperature}"


class Softened(Tempered):
    """Keeps a temperature, and whether logits are standardized; for softmaxes."""

    exclusive: ClassVar = True

    def __init__(self, operation: str, temperature: Temperature, standardize: bool) -> None:
        super().__init__(operation, temperature)
        self.standardize = standardize

    def extra_repr(self) -> str:
        return ", ".join(filter(None, [super().extra_repr(), f"standardize={self.standardize}"]))
