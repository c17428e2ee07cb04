# Sourced in every trial's container before training. If the image has everything, this takes no time.
if ! python3 -c "import python_pachyderm, tensorboard" 2>/dev/null; then
    python3 -m pip install --quiet --disable-pip-version-check -r requirements.txt
fi
