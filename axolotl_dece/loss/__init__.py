"""DeCE as functions of tensors. `reference` is the formula, `rows` the exact and lean version that ships."""

from axolotl_dece.loss.criterion import Mixture
from axolotl_dece.loss.functional import dece_loss
from axolotl_dece.loss.linear import linear_dece_loss

__all__ = ["Mixture", "dece_loss", "linear_dece_loss"]
