"""Pipeline specs: one template renders the train and deploy pipelines of an example, for clouds and on-prem.

The variants follow the setup guide. In a cloud, models go to a bucket. On-prem, they stay in the deploy pipeline's
output repo, the pods mount Determined's shared checkpoint folder as root (``pod_patch``), and the predictor has a
service account that reads through Pachyderm's S3 gateway.
"""

from pdk_nb.example import examples_folder
from pdk_nb.specs.electives import BATCH_GLOB, batch_spec, candidate_spec
from pdk_nb.specs.files import camel_case, read, text, write
from pdk_nb.specs.parameters import (
    IMAGES_FILE,
    STAGES,
    PipelineParams,
    Variant,
    params_for,
    pipelines_folder,
    variant_for,
)
from pdk_nb.specs.rules import BUCKET_SECRETS, DEPLOY_SECRETS, TRAIN_SECRETS, check
from pdk_nb.specs.template import FILES, SERVICE_ACCOUNT, render, render_for

__all__ = [
    "BATCH_GLOB",
    "BUCKET_SECRETS",
    "DEPLOY_SECRETS",
    "FILES",
    "IMAGES_FILE",
    "SERVICE_ACCOUNT",
    "STAGES",
    "TRAIN_SECRETS",
    "PipelineParams",
    "Variant",
    "batch_spec",
    "camel_case",
    "check",
    "examples_folder",
    "params_for",
    "pipelines_folder",
    "read",
    "render",
    "render_for",
    "text",
    "candidate_spec",
    "variant_for",
    "write",
]
