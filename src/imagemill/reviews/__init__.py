"""What people decided about images: ``reviews/<dataset>.csv``, keyed by content hash.

::

    from imagemill import reviews

    work = reviews.load("clothing")
    sure = work.filter("mislabel", above=0.9)
    work.tag(sure, tags=["mislabel_confirmed"], action="relabel", reviewer="Kushagra")
    work.save()
"""

from imagemill.reviews.batch import Batch, load

__all__ = ["Batch", "load"]
