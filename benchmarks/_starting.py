"""How long it takes until something can begin: the import, and ``--help``, each beside what it cannot do without."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

# What coatcheck requires, as far as it uses it.
DEPENDENCIES = "import apsw, msgspec, cryptography.hazmat.primitives.asymmetric.ec, joserfc.jwk, joserfc.jws"
TYPER = """
import typer
app = typer.Typer()

@app.command()
def serve(): "Serve."

@app.command()
def users(): "List them."

app()
"""


def measure(*, rounds, tick):
    """Return ratios of medians over interleaved rounds; new processes, of modules compiled as installed ones are."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return _measure(rounds, tick, {**environment, "PYTHONPYCACHEPREFIX": compiled})


def _measure(rounds, tick, environment):
    import_ = _ratio(["-c", "import coatcheck"], ["-c", DEPENDENCIES], rounds, tick, environment)
    help_ = _ratio(["-m", "coatcheck.cli", "--help"], ["-c", TYPER, "--help"], rounds, tick, environment)
    loaded = "import sys, coatcheck; print('joserfc' in sys.modules, 'cryptography' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", loaded], check=True, capture_output=True, text=True).stdout.split()
    return {"import": import_, "help": help_, "import_loads_jose": "True" in said}


def _ratio(ours, theirs, rounds, tick, environment):
    nothing = ["-c", "pass"]
    found = {"ours": [], "theirs": [], "nothing": []}
    cases = {"ours": ours, "theirs": theirs, "nothing": nothing}
    for command in cases.values():
        _seconds(command, environment)  # compiles
    for number in range(rounds):
        for name, command in list(cases.items())[:: -1 if number % 2 else 1]:
            found[name].append(_seconds(command, environment))
        tick()
    least = {name: statistics.median(times) for name, times in found.items()}
    # The interpreter's own start is in neither.
    return {
        "ratio": (least["ours"] - least["nothing"]) / (least["theirs"] - least["nothing"]),
        "ratio_with_interpreter": least["ours"] / least["theirs"],
        "seconds": least["ours"],
    }


def _seconds(command, environment):
    began = time.perf_counter()
    nowhere = subprocess.DEVNULL
    subprocess.run([sys.executable, *command], check=True, env=environment, stdout=nowhere, stderr=nowhere)
    return time.perf_counter() - began
