"""
Schemas of our own in a PostgreSQL database.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.engines.postgresql.place import LONGEST, Place
from cutover.engines.postgresql.url import parse
from cutover.errors import ConfigurationError

names = st.text("abc_", min_size=1, max_size=LONGEST).filter(lambda name: not name.startswith("_"))
suffixes = st.sampled_from(["", "_homes", "_mirror"])


@given(name=names, suffix=suffixes)
def test_a_name_is_never_cut(name, suffix):
    """
    A schema has its whole name in every query, or is refused with how long its name may be.
    """
    address = parse(f"postgresql://h/d?schema={name}")
    if len(name + suffix) > LONGEST:
        with pytest.raises(ConfigurationError, match=f"allowed: up to {LONGEST - len(suffix)} characters"):
            Place(address, {}, suffix)
    else:
        place = Place(address, {"one": "SELECT cutover.a.b FROM cutover.a"}, suffix)

        assert place.queries["one"] == f'SELECT "{name}{suffix}".a.b FROM "{name}{suffix}".a'


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        ("", "a schema shop of another program; choose another one with ?schema=NAME"),
        (
            "_homes",
            "a schema shop_homes of another program; choose another one with ?schema=NAME, which makes it NAME_homes",
        ),
    ],
)
def test_a_schema_of_another_program(suffix, said):
    """
    A schema of another program is named, and so is the way to another name.
    """
    place = Place(parse("postgresql://h/d?schema=shop"), {}, suffix)

    assert str(place.foreign()).endswith(said)
