"""The parts of `sample_catalogs/make.py`: pictures, places, documents, and one module for each catalog."""
