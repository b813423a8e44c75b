"""Every public name says what it is, and shows it: the examples of the docstrings are executed."""

import doctest
import inspect

import pytest

import ulsam_cost as uc

NAMES = [name for name in uc.__all__ if name not in ("__version__", "CONVENTIONS")]  # values, which have no docstring


@pytest.mark.parametrize("name", [*NAMES, "ulsam_cost"])
def test_its_docstring_has_an_example_that_says_what_happens(name):
    value = uc if name == "ulsam_cost" else getattr(uc, name)
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL * (name == "CostError")
    parsed = doctest.DocTestParser().get_doctest(inspect.getdoc(value), {}, name, None, None)
    assert parsed.examples, f"{name} has no example"
    assert any(example.want for example in parsed.examples)
    said = []
    doctest.DocTestRunner(optionflags=flags).run(parsed, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", [name for name in NAMES if inspect.isfunction(getattr(uc, name))])
def test_a_function_says_what_it_takes_and_what_it_raises(name):
    function = getattr(uc, name)
    doc = inspect.getdoc(function)
    refers = "arguments and errors as in `" in doc
    parameters = [key.lstrip("*") for key in inspect.signature(function).parameters]
    if not refers and len(parameters) > 1:
        assert "\nArgs:\n" in doc
        missing = [key for key in parameters if f"    {key}:" not in doc and f"    **{key}:" not in doc]
        assert not missing
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty
