"""Curation as plain functions over Arrow tables and arrays: no model, no scheduler, no command line."""
