"""
Writing a file whole or not at all.
"""

import os

import pytest

from cutover.files import write_whole


def test_replaces_the_whole_file(tmp_path):
    """
    What was there before is replaced by the new content, and its folder is made.
    """
    path = tmp_path / "folder" / "file"
    for content in (b"a longer content", b"short"):
        write_whole(path, content)

        assert path.read_bytes() == content


def test_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    """
    Where the disk is full, the file is as it was, and no other one lies beside it.
    """
    path = tmp_path / "file"
    write_whole(path, b"before")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"after")

    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
