"""Images of both stages: build and push them with Docker, Podman, or Buildah, and record them in the specs."""

from pdk_nb.container_images.building import Built, build, built_images, unique_tag
from pdk_nb.container_images.engines import ENGINES, Engine, find_engine
from pdk_nb.container_images.pushing import Pushed, push, record
from pdk_nb.container_images.registries import EcrRegistry, RegistryAccess, ecr_registry

__all__ = [
    "ENGINES",
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
