"""MV-AT, multi-view attention transfer.

Shin, Park, Kim, Lee, Han: "Multi-View Attention Transfer for Efficient Speech Enhancement", Interspeech 2022.
The maps of attention transfer are taken from the channel, global and local features of each multi-view attention
block, right after their attention: L = sum over pairs of layers j and views v of L_AT (Eq. 3 and 4). No parameters.

The paper leaves open how maps of unlike length are compared, and gives no weight. Our reading: maps are matched by
their position in the signal and averaged over time (``sum`` is an option), and the weight is searched.
"""

from __future__ import annotations

from sordino.distill.methods.at import AttentionTransfer


class MultiViewAttentionTransfer(AttentionTransfer):
    """Attention transfer on the three views of every multi-view attention block that both networks have.

    With a teacher of depth 4 and a student of depth 3 that has views in its deepest layer only, dual depth gives the
    pairs S3-T3 and S3-T4, in the encoder and in the mirrored decoder: 4 pairs of layers, 12 maps.

    Args:
        norm: ``l1`` (the paper's choice) or ``l2``.
        dual_depth: pair the student's deepest layer with all deeper layers of the teacher too.
        reduction: ``mean`` over time, or ``sum`` (Eq. 2), whose gradient is hundreds of times a supervised loss's.
    """

    kinds = ("channel", "global", "local")
