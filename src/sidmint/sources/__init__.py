"""Input formats, one a file. Importing the package files them all in `SOURCES`."""

from sidmint.sources import (
    amazon_2014,
    amazon_2018,
    amazon_2023,
    movielens,
    synthetic,
    table,
)
from sidmint.sources.base import SOURCES, RawCatalogue, Source, SourceFiles

__all__ = [
    "SOURCES",
    "RawCatalogue",
    "Source",
    "SourceFiles",
    "amazon_2014",
    "amazon_2018",
    "amazon_2023",
    "movielens",
    "synthetic",
    "table",
]
