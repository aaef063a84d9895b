"""All sources at once, from a start to the nearest minimum: variable projection."""
