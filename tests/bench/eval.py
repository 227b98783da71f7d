"""Ask the development set of posture questions and score it, in a database made for it.

    python -m tests.bench.eval [--eval FOLDER] [--questions FILE] [--brief]

The folder (default ``../shared/eval/posture``, or the environment variable GATEHOUSE_EVAL) holds the findings, the
people, the questions and the scorer; its README says what every word means. Exit code 1 below 95 % exact, at any
confidently wrong answer or anything unsafe.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "eval" / "posture"
WANTED = 95.0  # % exact


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--eval", type=Path, default=Path(os.environ.get("GATEHOUSE_EVAL", FOLDER)))
    parser.add_argument("--questions", type=Path, help="another set of questions over the same findings")
    parser.add_argument("--brief", action="store_true", help="tables only")
    options = parser.parse_args()
    folder: Path = options.eval
    if not (folder / "score.py").exists():
        print(f"no evaluation set in {folder}; name its folder with --eval or GATEHOUSE_EVAL", file=sys.stderr)
        return 2
    command = shutil.which("gatehouse", path=str(Path(sys.executable).parent)) or "gatehouse"
    with tempfile.TemporaryDirectory() as scratch:
        environment = os.environ | {"GATEHOUSE_DATABASE_URL": f"sqlite:///{scratch}/eval.db"}
        for said in (["ingest", "ocsf", "findings.ocsf.jsonl"], ["people", "import", "people.json"]):
            subprocess.run(
                [command, *said[:-1], str(folder / said[-1])], check=True, env=environment, stdout=subprocess.DEVNULL
            )
        questions = options.questions or folder / "questions-dev.jsonl"
        ask = f"{command} ask --json --as-of {{as_of}} --file {{file}}"
        scored = [sys.executable, str(folder / "score.py"), str(questions), "--command", ask]
        done = subprocess.run(
            scored + ["--brief"] * options.brief, check=False, env=environment, capture_output=True, text=True
        )
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    exact = re.search(r"exact=([\d.]+)% answered=[\d.]+% unsafe=(\d+)", done.stdout)
    wrong = re.search(r"confidently wrong: (\d+)", done.stdout)
    if done.returncode or exact is None or wrong is None:
        return 1
    return int(float(exact[1]) < WANTED or int(exact[2]) > 0 or int(wrong[1]) > 0)


if __name__ == "__main__":
    sys.exit(main())
