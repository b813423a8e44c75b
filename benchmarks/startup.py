"""How long a light command takes to start, in units of `python -c "import click"`, measured in turn.

Run it as it is: python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 10
REFERENCE = [sys.executable, "-c", "import click"]
PROGRAM = "import sys; from ulsam_cost.cli import main; main(sys.argv[1:])"
COMMANDS = {
    "ulsam-cost --help": [sys.executable, "-c", PROGRAM, "--help"],
    "ulsam-cost table1 --m 512 --hw 14": [sys.executable, "-c", PROGRAM, "table1", "--m", "512", "--hw", "14"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the medians and their ratio."""
    every = {"python -c 'import click'": REFERENCE, **COMMANDS}
    times: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(ROUNDS + 1):  # the first round fills the caches
        for name, command in every.items():
            times[name].append(seconds(command))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    reference = medians["python -c 'import click'"]
    for name, median in medians.items():
        print(f"{name:36} {1e3 * median:7.1f} ms  {median / reference:5.2f}x")


if __name__ == "__main__":
    main()
