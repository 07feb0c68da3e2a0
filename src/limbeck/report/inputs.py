"""What a model takes, one class for each kind of input, and how a reader of the card runs the file on it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["ImageInput"]


class ImageInput(BaseModel):
    """Images of one size."""

    model_config = ConfigDict(extra="forbid")

    channels: int
    size: list[int]

    @property
    def shape(self) -> str:
        return " × ".join(map(str, [self.channels, *self.size]))

    @property
    def described(self) -> str:
        return f"inputs of {self.shape} (channels × height × width)"

    @property
    def taken(self) -> str:
        return "`image`, float32 with values from 0 to 1"

    @property
    def imports(self) -> str:
        return "import numpy as np\nimport onnxruntime"

    @property
    def code(self) -> str:
        """Lines of Python that make `feed` for the session."""
        dimensions = (1, self.channels, *self.size)
        return (
            f"image = np.zeros({dimensions!r}, dtype=np.float32)  # batch, channels, height, width; "
            "put your images here\n"
            'feed = {"image": image}'
        )
