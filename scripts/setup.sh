#!/bin/sh
# Makes or completes the environment that the Makefile's targets use:
#
#   scripts/setup.sh .venv            what the lab needs
#   scripts/setup.sh .venv dev        what its tests need on top; also browser, docs
#
# PYTHON       the Python to use; otherwise 3.11 if there is one, then any that fits. uv downloads 3.11 if none does.
# TORCH        cpu, cuda, or auto: without an NVIDIA GPU, PyTorch's wheels for CPUs, which need 4 GB less
# TORCH_INDEX  the package index with these wheels
# UV           uv's path; empty for pip even where uv is installed
set -eu
cd "$(dirname "$0")/.."
venv=$1
shift
extras=$(IFS=,; echo "all${*:+,$*}")
fits='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))'
index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
uv=${UV-$(command -v uv || true)}

no_python() {
	echo "PDK Lab needs Python 3.10, 3.11, 3.12, or 3.13, with its modules venv and pip."
	echo "  what to do: install it, then make PYTHON=/path/to/python3.11; or install uv, which brings a Python"
	exit 1
}

make_environment() {
	if [ -n "$uv" ]; then
		python=${PYTHON:-$($uv python find 3.11 2>/dev/null || $uv python find '>=3.10,<3.14' 2>/dev/null || echo 3.11)}
		$uv venv --quiet --seed --clear --python "$python" "$venv" || no_python
	else
		for python in ${PYTHON:-python3.11 python3.12 python3.13 python3.10 python3}; do
			if "$python" -c "$fits; import ensurepip, venv" 2>/dev/null; then
				"$python" -m venv --clear "$venv"
				return
			fi
		done
		no_python
	fi
}

install() {
	if [ -n "$uv" ]; then
		$uv pip install --quiet --python "$venv/bin/python" -c constraints.txt "$@"
	else
		"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"
	fi
}

has_gpu() {
	[ -e /dev/nvidiactl ] || [ -e /proc/driver/nvidia/version ] || { nvidia-smi -L 2>/dev/null | grep -q GPU; }
}

reachable() {
	"$venv/bin/python" - "$1" <<-'END'
		import sys, urllib.request
		try:
		    urllib.request.urlopen(sys.argv[1].rstrip("/") + "/torch/", timeout=10)
		except (OSError, ValueError):
		    sys.exit(1)
	END
}

# Sets $torch to flags for the installation, and $trim to whether to remove what only a GPU loads.
choose_torch() {
	torch='' trim=''
	case ${TORCH:-auto} in cpu | cuda | auto) ;; *)
		echo "TORCH=$TORCH is none of cpu, cuda, and auto."
		exit 1
		;;
	esac
	# On other systems, PyPI's wheels have no CUDA.
	[ "$(uname -s)" = Linux ] && [ "${TORCH:-auto}" != cuda ] || return 0
	if [ "${TORCH:-auto}" = auto ] && has_gpu; then
		echo "PyTorch: PyPI's wheels with CUDA, because this machine has an NVIDIA GPU (TORCH=cpu for those without)."
	elif reachable "$index"; then
		echo "PyTorch: the wheels for CPUs from $index (TORCH=cuda for those with CUDA)."
		torch="--extra-index-url $index"
		[ -z "$uv" ] || torch="$torch --index-strategy unsafe-best-match"
	else
		echo "PyTorch: PyPI's wheels with CUDA, because $index doesn't answer: a download of 3 GB more."
		echo "  Files that only a GPU loads are removed afterwards."
		trim=yes
	fi
}

if ! "$venv/bin/python" -c "$fits; import pip" 2>/dev/null; then
	make_environment
fi
version=$("$venv/bin/python" -c 'import platform; print(platform.python_version())')
tool=pip
[ -z "$uv" ] || tool=uv
echo "Setting up $venv with $tool for Python $version (a few minutes, once) ..."
torch='' trim=''
if ! "$venv/bin/python" -c 'import importlib.metadata; importlib.metadata.version("torch")' 2>/dev/null; then
	choose_torch
fi
# shellcheck disable=SC2086  # flags
install $torch -e ".[$extras]" -e ./pdk_stack
if [ -n "$trim" ]; then
	"$venv/bin/python" images/deploy/drop_gpu_files.py
fi
