"""The STAC API over HTTP."""
