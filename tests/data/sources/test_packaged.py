"""Data files inside other packages."""

import gzip
import sys

import numpy as np
import pytest

from limbeck.data.sources.packaged import packaged_file, read_bytes_table, read_table
from limbeck.errors import DataError


def test_a_file_is_found_without_importing_its_package(tmp_path, monkeypatch):
    package = tmp_path / "some_package_with_data"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "table.csv").write_text("1,2\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = packaged_file("some_package_with_data", "table.csv", distribution="some-package")
    assert found == package / "table.csv"
    assert "some_package_with_data" not in sys.modules


@pytest.mark.parametrize("package", ["no_such_package_here", "numpy"])
def test_a_missing_package_or_file_says_what_to_install(package):
    with pytest.raises(
        DataError, match=rf"the package {package} with its file a/b\.csv is not installed: pip install x"
    ):
        packaged_file(package, "a/b.csv", distribution="x")


def test_tables_are_read(tmp_path):
    file = tmp_path / "table.csv.gz"
    expected = np.random.default_rng(0).integers(0, 256, (5, 4))
    file.write_bytes(gzip.compress("".join(",".join(map(str, row)) + "\n" for row in expected).encode()))
    assert read_bytes_table(file, 4).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1,2\n", "cannot be read as gzipped text"),
        (gzip.compress(b"1,2\n" * 99, mtime=0)[:-12], "cannot be read as gzipped text"),
        (gzip.compress(b"1,x\n", mtime=0), "expected 2 numbers|cannot be read"),
        (gzip.compress(b"1,2\n3\n", mtime=0), "3 numbers in 2 lines; expected 2 numbers in 0..255 per line"),
        (gzip.compress(b"1,256\n", mtime=0), "2 numbers in 1 lines; expected 2 numbers in 0..255 per line"),
        (gzip.compress(b"", mtime=0), "0 numbers in 0 lines"),
    ],
)
def test_tables_that_cannot_be_are_refused(tmp_path, content, message):
    file = tmp_path / "table.csv.gz"
    file.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_bytes_table(file, 2)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_tables_of_numbers_are_those_of_numpy(tmp_path, packed):
    text = "names\n1.5,-2\n3e2,4\n"
    file = tmp_path / ("table.csv.gz" if packed else "table.csv")
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    expected = np.loadtxt(text.splitlines(), delimiter=",", skiprows=1)
    np.testing.assert_array_equal(read_table(file, 2, skip=1), expected)


@pytest.mark.parametrize("content", [b"1 2\n3\n", b"1 x\n", b"1 2 3\n", b"", "1 é".encode()])
def test_tables_of_numbers_that_cannot_be_are_refused(tmp_path, content):
    file = tmp_path / "table.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"table\.csv: (cannot be read as a table of numbers|its values have shape)"):
        read_table(file, 2)
