"""What people touch in a notebook: the prediction panel, one module per part."""

from pdk_nb.widgets.panel import PredictionPanel

__all__ = ["PredictionPanel"]
