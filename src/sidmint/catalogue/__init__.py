"""From raw tables to the catalogue that every stage reads. Pure: tables in, tables out."""

from sidmint.catalogue.build import Catalogue, build_catalogue
from sidmint.catalogue.checking import check_ids, check_items, rows_of
from sidmint.catalogue.core import k_core
from sidmint.catalogue.digest import digest_of
from sidmint.catalogue.splitting import (
    MIN_EVENTS_A_USER,
    choose_cold,
    in_order,
    sorted_sequence_share,
    split_events,
)
from sidmint.catalogue.without_log import build_without_log

__all__ = [
    "MIN_EVENTS_A_USER",
    "Catalogue",
    "build_catalogue",
    "build_without_log",
    "check_ids",
    "check_items",
    "choose_cold",
    "digest_of",
    "in_order",
    "k_core",
    "rows_of",
    "sorted_sequence_share",
    "split_events",
]
