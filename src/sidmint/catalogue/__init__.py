"""From raw tables to the catalogue that every stage reads. Pure: tables in, tables out."""

from sidmint.catalogue.build import Catalogue, build_catalogue
from sidmint.catalogue.checking import as_ids, check_ids, check_items, require_unique, rows_of
from sidmint.catalogue.core import k_core
from sidmint.catalogue.digest import TablesDigest, digest_of
from sidmint.catalogue.in_pieces import (
    CatalogueInPieces,
    build_in_pieces,
    without_log_in_pieces,
)
from sidmint.catalogue.splitting import (
    MIN_EVENTS_A_USER,
    SortedSequences,
    choose_cold,
    in_order,
    sorted_sequence_share,
    split_events,
)
from sidmint.catalogue.without_log import build_without_log

__all__ = [
    "MIN_EVENTS_A_USER",
    "Catalogue",
    "CatalogueInPieces",
    "SortedSequences",
    "TablesDigest",
    "as_ids",
    "build_catalogue",
    "build_in_pieces",
    "build_without_log",
    "check_ids",
    "check_items",
    "choose_cold",
    "digest_of",
    "in_order",
    "k_core",
    "require_unique",
    "rows_of",
    "sorted_sequence_share",
    "split_events",
    "without_log_in_pieces",
]
