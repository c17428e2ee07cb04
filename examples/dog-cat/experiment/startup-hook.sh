# Sourced in every trial's container before training. Images that have everything spend no time here.
if ! python3 -c "import numpy, PIL, python_pachyderm, tensorboard, torchvision" 2>/dev/null; then
    python3 -m pip install --quiet --disable-pip-version-check -r requirements.txt
fi
