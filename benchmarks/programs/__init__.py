"""The programs in autobatch. Those of the rivals, ``benchmarks.rivals``, are their twins."""
