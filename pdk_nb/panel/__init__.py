"""What people touch in a notebook: the prediction panel, one module per part."""

from pdk_nb.panel.panel import PredictionPanel

__all__ = ["PredictionPanel"]
