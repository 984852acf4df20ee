"""What a step of training makes smaller: cross-entropy and Dice of each class, where the truth is known."""

import torch
from torch import Tensor
from torch.nn import functional

from vesselrt.training.fit.recipe import LossWeights

THIN_PIXELS = 5
"""Of the prepared image: vessels narrower than this are thin to the loss."""
_SMOOTH = 1e-5
"""Added to both sides of the Dice fraction, as MONAI does: a class that is nowhere is right to find nothing."""


def segmentation_loss(logits: Tensor, truth: Tensor, weights: LossWeights, thin: float, *, exclusive: bool) -> Tensor:
    """A weighted sum over a batch. `thin`: further weight in the cross-entropy of the truth's thin vessels.

    `truth` (N, K, h, w), 0..1, is the share of a pixel that belongs to each class; a further plane (N, K + 1, h, w) is
    the share that is ignored. `logits` (N, K, h, w) are before a sigmoid each; of classes that exclude each other
    (N, K + 1, h, w) before a softmax, the background first. There a pixel of several classes is shared between them.

    The Dice of each class is of the whole batch, the background has none.
    """
    count = logits.shape[1] - exclusive
    truth, known = truth[:, :count], 1 - truth[:, count:] if truth.shape[1] > count else None
    if exclusive:
        target, shares = _exclusive_target(truth), functional.log_softmax(logits, dim=1)
        entropy = -(target * shares).sum(dim=1, keepdim=True)
        truth, probability, missed = target[:, 1:], shares[:, 1:].exp(), -shares[:, 1:]
    else:
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
        probability, missed = torch.sigmoid(logits), functional.softplus(-logits)
    loss = weights.dice * _dice_loss(probability, truth, known) + weights.cross_entropy * _mean(entropy, known)
    if thin:
        loss = loss + thin * _mean(find_thin_part(truth) * missed, known)
    return loss


def find_thin_part(truth: Tensor) -> Tensor:
    """The part of the truth (N, K, h, w), 0..1, that no square of THIN_PIXELS fits into: what an opening removes."""
    eroded = -functional.max_pool2d(-truth, THIN_PIXELS, stride=1, padding=THIN_PIXELS // 2)
    opened = functional.max_pool2d(eroded, THIN_PIXELS, stride=1, padding=THIN_PIXELS // 2)
    return truth - opened


def _exclusive_target(truth: Tensor) -> Tensor:
    """(N, K, h, w) → (N, K + 1, h, w) shares that add up to 1, the background first."""
    together = truth.sum(dim=1, keepdim=True)
    return torch.cat([(1 - together).clamp(min=0), truth / together.clamp(min=1)], dim=1)


def _dice_loss(probability: Tensor, truth: Tensor, known: Tensor | None) -> Tensor:
    if known is not None:
        probability, truth = probability * known, truth * known
    both, found, there = ((part).sum(dim=(0, 2, 3)) for part in (truth * probability, probability, truth))  # (K,)
    return (1 - (2 * both + _SMOOTH) / (there + found + _SMOOTH)).mean()


def _mean(values: Tensor, known: Tensor | None) -> Tensor:
    """Over the pixels, (N, K, h, w), those that are `known` (N, 1, h, w)."""
    if known is None:
        return values.mean()
    return (values * known).sum() / (known.sum() * values.shape[1]).clamp(min=1)
