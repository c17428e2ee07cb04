#!/usr/bin/env bash
# The last step of the action: starts the stack, and tells the job's later steps where it is. Credentials are masked
# before anything else can print them.
set -euo pipefail
flags=()
while IFS= read -r line; do
  name=$(cut -d= -f1 <<<"$line" | xargs)
  folder=$(cut -s -d= -f2- <<<"$line" | xargs)
  if [ -n "$name" ]; then flags+=(--image "$name=$folder"); fi
done <<<"${IMAGES:-}"
pdk-nb up "${flags[@]+"${flags[@]}"}"
# pdk-nb env prints one "export NAME=value" a line, quoted for a shell.
eval "$(pdk-nb env)"
for secret in DET_PASS DET_PASSWORD; do echo "::add-mask::${!secret}"; done
for name in PDK_STATE_DIR KUBECONFIG PACH_CONFIG DET_MASTER DET_USER DET_PASS DET_PASSWORD; do
  echo "$name=${!name}" >>"$GITHUB_ENV"
done
echo "kubeconfig=$KUBECONFIG" >>"$GITHUB_OUTPUT"
