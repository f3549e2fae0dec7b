"""The programs of ``benchmarks.programs`` in other libraries."""
