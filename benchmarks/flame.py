"""Where the processor time of the whole program goes, as a flame graph.

    python -m benchmarks.flame CLIP [--out DIR] [flags of stream.py]

Runs stream.py without a window under the sampling profiler py-spy; work of networks, codecs and
OpenCV counts for the Python function that called them. Writes DIR/flame.svg, for a browser, and
DIR/flame.txt, the functions with the most samples of their own. May need permission to trace
processes (root has it).
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import common

TOP = 25
# A waiting thread uses no processor, but the profiler does not always notice.
_WAITING = ("_worker (concurrent/futures/", "Condition.wait (threading.py")


def record(command: Sequence[str], form: str, out: Path) -> None:
    """Run a command under the profiler; BenchmarkError if py-spy is missing or failed."""
    py_spy = str(Path(sys.executable).with_name("py-spy"))
    profiler = [py_spy, "record", "--rate", "200", "--format", form, "--output", str(out), "--"]
    try:
        done = subprocess.run(
            [*profiler, *command], cwd=common.ROOT, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise common.BenchmarkError(
            "py-spy is missing; pip install -r requirements-dev.txt"
        ) from error
    if not out.is_file():
        raise common.BenchmarkError(f"py-spy failed: {common.last_line(done.stderr)}; try as root")


def own_samples(stacks: Iterable[str]) -> Counter[str]:
    """Count each function's own samples, without waits, in lines `outer;...;inner count`."""
    own: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.strip().rpartition(" ")
        function = stack.rpartition(";")[2]
        if stack and not function.startswith(_WAITING):
            own[function] += int(count)
    return own


def shares(own: Counter[str]) -> str:
    """List the functions with the most samples, with their share in per cent."""
    total = max(sum(own.values()), 1)
    return "".join(f"{100 * n / total:5.1f} %  {name}\n" for name, n in own.most_common(TOP))


@common.command("flame", __doc__, common.flag("clip"), common.OUT, passes_on=True)
def main(options: argparse.Namespace) -> None:
    """Profile the program twice, once for each format."""
    clip = str(Path(options.clip).absolute()) if Path(options.clip).exists() else options.clip
    command = common.stream_command(clip, *options.flags)
    options.out.mkdir(parents=True, exist_ok=True)
    stacks = options.out / "flame.stacks"
    record(command, "flamegraph", options.out / "flame.svg")
    record(command, "raw", stacks)
    listed = shares(own_samples(stacks.read_text().splitlines()))
    (options.out / "flame.txt").write_text(listed)
    print(listed, end="")


if __name__ == "__main__":
    raise SystemExit(main())
