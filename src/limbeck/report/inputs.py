"""What a model takes, one class for each kind of input, and how a reader of the card runs the file on it."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict

__all__ = ["ImageInput", "Input", "TextInput", "WordsInput"]

_classes_said = """\
(logits,) = session.run(["logits"], feed)
print([classes[index] for index in logits.argmax(axis=1)])"""

_above_half_said = """\
(logits,) = session.run(["logits"], feed)
print([[classes[index] for index in np.flatnonzero(row > 0)] for row in logits])"""


class ImageInput(BaseModel):
    """Images of one size."""

    model_config = ConfigDict(extra="forbid")

    channels: int
    size: list[int]

    judged: ClassVar[str] = "row"

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
        """Lines of Python that ask the session, and print the answer."""
        dimensions = (1, self.channels, *self.size)
        return (
            f"image = np.zeros({dimensions!r}, dtype=np.float32)  # batch, channels, height, width; "
            "put your images here\n"
            'feed = {"image": image}\n'
            f"{_classes_said}"
        )


class TextInput(BaseModel):
    """Texts, or pairs of them, up to a number of tokens; a row has one class, or any number where ``several``."""

    model_config = ConfigDict(extra="forbid")

    texts: int
    max_length: int
    several: bool = False

    judged: ClassVar[str] = "row"

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
        """Lines of Python that ask the session, and print the answer."""
        texts = ", ".join(['["a text"]', '["its pair"]'][: self.texts])
        return (
            'tokenizer = AutoTokenizer.from_pretrained("export")\n'
            f"rows = tokenizer({texts}, padding=True, truncation=True, max_length={self.max_length})\n"
            "feed = {taken.name: np.array(rows[taken.name], dtype=np.int64) for taken in session.get_inputs()}\n"
            f"{_above_half_said if self.several else _classes_said}"
        )


class WordsInput(BaseModel):
    """Sentences of words, each with a class, up to a number of tokens."""

    model_config = ConfigDict(extra="forbid")

    words: bool
    max_length: int

    judged: ClassVar[str] = "word"

    @property
    def shape(self) -> str:
        return f"sentence of words, up to {self.max_length} tokens"

    @property
    def described(self) -> str:
        return f"sentences of words, cut at {self.max_length} tokens"

    @property
    def taken(self) -> str:
        return "the tokens that the tokenizer beside it gives, and in `words` the place of the first token of each word"

    @property
    def imports(self) -> str:
        return "import numpy as np\nimport onnxruntime\nfrom transformers import AutoTokenizer"

    @property
    def code(self) -> str:
        """Lines of Python that ask the session, and print the answer."""
        return (
            'tokenizer = AutoTokenizer.from_pretrained("export")\n'
            'words = ["Ann", "lives", "in", "Oslo"]\n'
            f"rows = tokenizer([words], is_split_into_words=True, truncation=True, max_length={self.max_length})\n"
            "owners = rows.word_ids(0)\n"
            'rows["words"] = [[owners.index(number) for number in range(len(words)) if number in owners]]\n'
            "feed = {taken.name: np.array(rows[taken.name], dtype=np.int64) for taken in session.get_inputs()}\n"
            '(logits,) = session.run(["logits"], feed)\n'
            "print([(word, classes[index]) for word, index in zip(words, logits[0].argmax(axis=1))])"
        )


Input: TypeAlias = ImageInput | TextInput | WordsInput
