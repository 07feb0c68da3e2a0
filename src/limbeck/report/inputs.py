"""What a model takes, one class for each kind of input, and how a reader of the card runs the file on it."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

__all__ = ["ImageInput", "Input", "TextInput"]


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


class TextInput(BaseModel):
    """Texts, or pairs of them, up to a number of tokens."""

    model_config = ConfigDict(extra="forbid")

    texts: int
    max_length: int

    @property
    def shape(self) -> str:
        return f"{'text' if self.texts == 1 else 'pair of texts'}, up to {self.max_length} tokens"

    @property
    def described(self) -> str:
        return f"inputs of {'one text' if self.texts == 1 else 'a pair of texts'}, cut at {self.max_length} tokens"

    @property
    def taken(self) -> str:
        return "the tokens that the tokenizer beside it gives, int64 in any number"

    @property
    def imports(self) -> str:
        return "import numpy as np\nimport onnxruntime\nfrom transformers import AutoTokenizer"

    @property
    def code(self) -> str:
        """Lines of Python that make `feed` for the session."""
        texts = ", ".join(['["a text"]', '["its pair"]'][: self.texts])
        return (
            'tokenizer = AutoTokenizer.from_pretrained("export")\n'
            f"rows = tokenizer({texts}, padding=True, truncation=True, max_length={self.max_length})\n"
            "feed = {taken.name: np.array(rows[taken.name], dtype=np.int64) for taken in session.get_inputs()}"
        )


Input: TypeAlias = ImageInput | TextInput
