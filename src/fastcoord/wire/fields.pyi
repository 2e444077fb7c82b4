ITEM_NAMES: tuple[str, ...]
