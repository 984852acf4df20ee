"""A model beside the truth: figures, tables, reports."""
