"""Images of both stages and of the console: build and push them, and record those of the stages in the specs."""

from pdk_nb.container_images.building import IMAGES, Built, build, built_images, unique_tag
from pdk_nb.container_images.engines import ENGINES, Engine, find_engine
from pdk_nb.container_images.pushing import Pushed, push, record
from pdk_nb.container_images.registries import EcrRegistry, RegistryAccess, ecr_registry

__all__ = [
    "ENGINES",
    "IMAGES",
    "Built",
    "EcrRegistry",
    "Engine",
    "Pushed",
    "RegistryAccess",
    "build",
    "built_images",
    "ecr_registry",
    "find_engine",
    "push",
    "record",
    "unique_tag",
]
