"""What people call their columns, and what we call them. Compared without case and punctuation."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sidmint.contracts import Interactions, Items

ITEM_COLUMNS: dict[str, tuple[str, ...]] = {
    Items.ITEM_ID: (
        *("item_id", "item", "iid", "item_no", "parent_asin", "asin", "product_id", "product"),
        *("product_code", "prod_id", "pid", "sku", "article_id", "article", "article_no", "gtin"),
        *("ean", "isbn", "goods_id", "offer_id", "listing_id", "movie_id", "film_id", "show_id"),
        *("book_id", "song_id", "track_id", "video_id", "news_id", "content_id", "recipe_id"),
        *("business_id", "id"),
    ),
    Items.TITLE: (
        *("title", "name", "item_name", "item_title", "product_name", "product_title"),
        *("prod_name", "article_name", "goods_name", "movie_title", "movie", "book_title"),
        *("track_name", "song_name", "headline", "display_name", "label"),
    ),
    "brand": (
        *("brand", "brand_name", "store", "manufacturer", "maker", "vendor", "vendor_name"),
        *("seller", "publisher", "artist", "artist_name", "author", "authors"),
    ),
    Items.CATEGORIES: (
        *("categories", "category", "category_path", "category_name", "product_category"),
        *("product_type", "product_type_name", "product_group_name", "department", "breadcrumbs"),
        *("main_category", "genres", "genre", "tags", "topic", "type"),
    ),
    "description": (
        *("description", "desc", "product_description", "long_description", "detail_desc"),
        *("details", "summary", "overview", "abstract", "about", "text", "body"),
    ),
    "price": ("price", "unit_price", "list_price", "sale_price", "current_price", "cost"),
}
"""Our column of the items -> names it goes by, the surest first."""

EVENT_COLUMNS: dict[str, tuple[str, ...]] = {
    Interactions.USER_ID: (
        *("user_id", "user", "uid", "user_no", "username", "customer_id", "customer", "cust_id"),
        *("reviewer_id", "reviewer", "visitor_id", "client_id", "member_id", "account_id"),
        *("buyer_id", "shopper_id", "profile_id", "viewer_id", "session_id", "session"),
    ),
    Interactions.ITEM_ID: ITEM_COLUMNS[Items.ITEM_ID],
    Interactions.POSITION: ("position", "pos", "sequence", "seq", "seq_no", "event_index", "step"),
    Interactions.TIMESTAMP: (
        *("timestamp", "ts", "time", "unix_review_time", "unix_time", "epoch", "event_time"),
        *("event_timestamp", "datetime", "date_time", "created_at", "occurred_at", "date", "t_dat"),
        *("event_date", "review_time", "review_date", "order_date", "purchase_date", "day"),
    ),
}
"""Our column of the interactions -> names it goes by, the surest first."""


def named_like(columns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Those of `columns` that go by one of `names`, in the order of `names`."""
    by_plain: dict[str, str] = {}
    for column in columns:
        by_plain.setdefault(_plain(column), column)
    return [by_plain[_plain(name)] for name in names if _plain(name) in by_plain]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
