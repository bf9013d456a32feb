"""
What applications return, as the tests of comparisons take it: rows of two mappers, and classes of several kinds.
"""

import enum
from dataclasses import dataclass, field
from functools import cached_property

import attrs
import django
import pydantic
import sqlalchemy as sa
from django.conf import settings
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        ALLOWED_HOSTS=["*"],
        USE_TZ=True,
    )
    django.setup()

from django.db import connection, models


class Product(models.Model):
    """
    A row of Django, equal to each of the same primary key.
    """

    name = models.CharField(max_length=20)
    price = models.IntegerField()

    class Meta:
        """
        Of no installed application.
        """

        app_label = "shop"

    def __str__(self):
        return self.name

    @cached_property
    def label(self):
        """
        Give what is stored beside the columns once it was asked for.
        """
        return f"{self.name} {self.price}"


def products(*rows):
    """
    Give a query of rows that a new table holds.
    """
    with connection.schema_editor() as editor:
        if Product._meta.db_table in connection.introspection.table_names():
            editor.delete_model(Product)
        editor.create_model(Product)
    Product.objects.bulk_create(Product(**row) for row in rows)
    return Product.objects.all()


class Base(DeclarativeBase):
    """
    The tables of SQLAlchemy.
    """


class Basket(Base):
    """
    A row of SQLAlchemy.
    """

    __tablename__ = "basket"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    items: Mapped[list["Item"]] = relationship(back_populates="basket")


class Item(Base):
    """
    A row that refers back to its basket.
    """

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(primary_key=True)
    basket_id: Mapped[int] = mapped_column(sa.ForeignKey("basket.id"))
    price: Mapped[int]
    basket: Mapped[Basket] = relationship(back_populates="items")


def basket(owner="user-1", price=5, *, loaded=False):
    """
    Read a basket from a database of its own, with its items if they shall be loaded.
    """
    engine = sa.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Basket(id=1, owner=owner, items=[Item(id=1, price=price)]))
        session.commit()
        found = session.get(Basket, 1)
        assert found.owner == owner
        if loaded:
            assert [item.price for item in found.items] == [price]
    engine.dispose()
    return found


@attrs.frozen
class Order:
    """
    An attrs class.
    """

    total: object
    note: object = attrs.field(default="", eq=False)
    name: str = attrs.field(default="", eq=str.lower)


@dataclass
class Line:
    """
    A dataclass.
    """

    name: object
    cached_at: object = field(default=0, compare=False)


class Extended(Line):
    """
    A class with a field more than the dataclass that it extends.
    """

    def __init__(self, name, cached_at=0, more=0):
        super().__init__(name, cached_at)
        self.more = more


class Model(pydantic.BaseModel):
    """
    A model of pydantic that allows more fields than it declares.
    """

    model_config = {"extra": "allow"}

    total: int
    took_ms: int = 0


class Plain:
    """
    An object whose fields are what it is given.
    """

    def __init__(self, **fields):
        vars(self).update(fields)


class Slotted:
    """
    An object whose fields are slots.
    """

    __slots__ = ("_rank", "price")

    def __init__(self, price, rank=0):
        self.price = price
        self._rank = rank


class SameKey(Plain):
    """
    An object that is equal to each of the same key.
    """

    def __eq__(self, other):
        return self.key == other.key

    def __hash__(self):
        return hash(self.key)


class Rude(Plain):
    """
    An object none of whose own methods may be called.
    """

    __hash__ = None

    def _refuse(self, *_):
        raise RuntimeError("never")

    __eq__ = __len__ = __bool__ = __getattr__ = __str__ = __repr__ = _refuse


class Paid(enum.Enum):
    """
    An enumeration.
    """

    YES = 1


class Settled(enum.Enum):
    """
    Another one with the same members.
    """

    YES = 1


class Colour(enum.StrEnum):
    """
    An enumeration of texts.
    """

    RED = "red"
