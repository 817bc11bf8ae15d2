import pytest

from axolotl_dece.evaluation.code_text import code_of


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a = 1\n", "a = 1"),
        ("```python\na = 1\n```", "a = 1"),
        ("Here it is:\n\n```\na = 1\n```\nThat is all.", "a = 1"),
        ("```\na = 1\n```\nand\n```\nb = 2\n```", "a = 1\n\nb = 2"),
        ("```py\r\na = 1\r\n```\r\n", "a = 1"),
        ("~~~\na = 1\n~~~", "a = 1"),
        ("````\n```\na\n```\n````", "```\na\n```"),
        ("```python\na = 1\nb =", "a = 1\nb ="),
        ('x = "```"', 'x = "```"'),
        ("```a = 1```", "```a = 1```"),
        ("```\n```", ""),
        ("", ""),
    ],
)
def test_code_is_what_stands_in_fences_or_all_of_it(text: str, code: str) -> None:
    assert code_of(text) == code
