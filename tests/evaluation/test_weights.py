from pathlib import Path

from axolotl_dece.evaluation.weights import weights_digest


def test_a_byte_in_the_middle_is_another_model(tmp_path: Path) -> None:
    """Frozen layers may fill both ends of a file."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(5 << 20))
    before = weights_digest(tmp_path)
    content = bytearray(5 << 20)
    content[2_500_000] = 1
    file.write_bytes(content)
    assert weights_digest(tmp_path) != before


def test_a_folder_may_be_moved(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "model.safetensors").write_bytes(b"weights")
    before = weights_digest(tmp_path / "a")
    assert weights_digest((tmp_path / "a").rename(tmp_path / "b")) == before
    assert weights_digest("org/model") != weights_digest("org/other")
