"""Super-resolution networks as plain ``torch.nn.Module`` classes; nothing here knows that dydca compiles them."""

from dydca.models.dydca_wdsr import WDSR, Block, DynamicWDSR, WeightNormConv2d

__all__ = ["WDSR", "Block", "DynamicWDSR", "WeightNormConv2d"]
