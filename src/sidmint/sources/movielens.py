"""Source `movielens`: a folder of MovieLens 100k (`u.data`, `u.item`) or latest (`movies.csv`).

`ingest.items` is the folder; `ingest.interactions` is not needed. Genres are a set, no path:
they are joined by ", " and so count as one level. Every rating is an event, whatever its value.
Movies that nobody rated stay in the catalogue as new items.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from sidmint.contracts import Interactions, Items, require_columns
from sidmint.errors import BadInput
from sidmint.params import IngestParams
from sidmint.progress import Track, silent
from sidmint.sources.base import SOURCES, RawCatalogue, SourceFiles
from sidmint.sources.frames import read_frame
from sidmint.sources.instants import as_instants

GENRES_100K = (  # noqa: SIM905 - the file u.genre, as it is
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
).split("|")
"""The flags at the end of a `u.item` line, in order (`u.genre`)."""

_ITEM_COLUMNS_100K = (Items.ITEM_ID, Items.TITLE, "release_date", "video_release_date", "url")
_NO_GENRE = "(no genres listed)"


@SOURCES.register("movielens")
def read_movielens(
    params: IngestParams, files: SourceFiles, seed: int, track: Track = silent
) -> RawCatalogue:
    """Movies and ratings of the folder, whichever of the two layouts it has."""
    if files.items is None or not files.items.is_dir():
        raise BadInput(
            f"source movielens wants the folder of the set in ingest.items, got {files.items}"
        )
    if (files.items / "u.item").is_file():
        return _read_100k(files.items)
    if (files.items / "movies.csv").is_file():
        return _read_latest(files.items)
    raise BadInput(
        f"{files.items} holds neither u.item (MovieLens 100k) nor movies.csv (latest); "
        "unpack the set there"
    )


def _read_100k(folder: Path) -> RawCatalogue:
    ratings = _separated(folder / "u.data", "\t", 4)
    movies = _separated(folder / "u.item", "|", len(_ITEM_COLUMNS_100K) + len(GENRES_100K))
    flags = movies.columns[len(_ITEM_COLUMNS_100K) :]
    genres = pl.concat_str(
        [
            pl.when(pl.col(flag) == "1").then(pl.lit(genre))
            for flag, genre in zip(flags, GENRES_100K, strict=True)
        ],
        separator=", ",
        ignore_nulls=True,
    )
    items = movies.select(
        *(pl.col(movies.columns[n]).alias(name) for n, name in enumerate(_ITEM_COLUMNS_100K[:3])),
        genres.replace("", None).alias(Items.CATEGORIES),
    )
    user, item, _, time = ratings.columns
    return RawCatalogue(items, _events(ratings, user, item, time, "u.data"), "u.item", "u.data")


def _read_latest(folder: Path) -> RawCatalogue:
    movies, ratings = read_frame(folder / "movies.csv"), read_frame(folder / "ratings.csv")
    require_columns(movies, ("movieId", "title", "genres"), "movies.csv")
    require_columns(ratings, ("userId", "movieId", "timestamp"), "ratings.csv")
    items = movies.select(
        pl.col("movieId").alias(Items.ITEM_ID),
        Items.TITLE,
        pl.col("genres")
        .replace(_NO_GENRE, None)
        .str.replace_all("|", ", ", literal=True)
        .alias(Items.CATEGORIES),
    )
    events = _events(ratings, "userId", "movieId", "timestamp", "ratings.csv")
    return RawCatalogue(items, events, "movies.csv", "ratings.csv")


def _events(ratings: pl.DataFrame, user: str, item: str, time: str, name: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            Interactions.USER_ID: ratings[user],
            Interactions.ITEM_ID: ratings[item],
            Interactions.TIMESTAMP: as_instants(ratings[time], name),
        }
    )


def _separated(path: Path, separator: str, num_columns: int) -> pl.DataFrame:
    """A file of the 100k set: Latin-1, no line of names, no quoting."""
    try:
        text = path.read_bytes().decode("latin-1")
    except FileNotFoundError as error:
        raise BadInput(f"{path} is not there; unpack the whole set") from error
    rows = [line.split(separator) for line in text.split("\n") if line.strip()]
    for number, row in enumerate(rows, start=1):
        if len(row) != num_columns:
            raise BadInput(
                f"{path} line {number} has {len(row)} fields, {num_columns} were wanted; "
                "is this MovieLens 100k?"
            )
    names = [f"column_{n}" for n in range(num_columns)]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
