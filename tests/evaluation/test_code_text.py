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
        ("~~~ a\nb", "~~~ a\nb"),
        ("Title\n~~~~~\n```\na\n```", "a"),
        ("1. So:\n\n   ```python\n   a = 1\n     b\n c\n   ```\n", "a = 1\n  b\nc"),
        ("1. ```python\n   a = 1\n   b = 2\n   ```", "a = 1\nb = 2"),
        ("- ```\n  a\n  ```\n* ```\n  b", "a\n\nb"),
        ("    a = 1\n\n    if a:\n        b", "a = 1\n\nif a:\n    b"),
        ("\ta = 1\n    b", "a = 1\n    b"),
        ("", ""),
    ],
)
def test_code_is_what_stands_in_fences_or_all_of_it(text: str, code: str) -> None:
    assert code_of(text) == code


RST = 'def f():\n    """\n    ~~~~~\n    Title\n    ~~~~~\n\n    ```\n    f()\n    ```\n    """'


def test_a_fence_in_code_that_parses_as_a_whole_is_none() -> None:
    assert code_of(RST, "python") == RST
    assert code_of(f"Here:\n```python\na = 1\n```\n{RST}") != RST


def test_a_fence_around_code_is_one_in_every_language() -> None:
    for language in ("python", "sql", "none"):
        assert code_of("```\nselect 1\n```", language) == "select 1"
        assert code_of("~~~\nselect 1\n~~~", language) == "select 1"
