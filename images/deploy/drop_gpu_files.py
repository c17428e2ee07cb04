"""Remove the files of torch's CUDA wheel that only a GPU loads. A wheel without CUDA doesn't contain them.

Libraries that torch is linked with must stay (``readelf -d libtorch_cuda.so``): without them, importing torch fails.
"""

import shutil
import site
import sysconfig
from pathlib import Path

PATTERNS = (
    "triton",
    "nvidia/cudnn/lib/libcudnn_*.so.*",
    "nvidia/cu*/lib/libcusolverMg.so.*",
    "nvidia/cu*/lib/*.alt.so.*",
    "nvidia/cu*/lib/libnvperf_*.so",
    "nvidia/cu*/lib/*.a",
)


def main() -> None:
    """Remove the files, and print their total size."""
    freed = 0
    for folder in {sysconfig.get_path("purelib"), *site.getsitepackages()}:
        for path in (found for pattern in PATTERNS for found in Path(folder).glob(pattern)):
            files = [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]
            freed += sum(each.stat().st_size for each in files)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"removed {freed / 1e6:.0f} MB that only a GPU loads")


if __name__ == "__main__":
    main()
