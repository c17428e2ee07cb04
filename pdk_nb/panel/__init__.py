"""The prediction panel, one module for each part."""

from pdk_nb.panel.panel import PredictionPanel

__all__ = ["PredictionPanel"]
