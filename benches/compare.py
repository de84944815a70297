"""Steps of Provi against hand-written JAX on the same machine, in turn: A B A B ….

    PEER_DATA=DIR python benches/compare.py PROVI PEERS [ROUNDS]

PROVI is the release binary, PEERS the folder of the peers' scripts; run it with a Python that has jax. For each program
prints the 10th percentile of a step with Adam in microseconds, of every round, and the ratio of the medians of the rounds.
"""
import json, os, statistics, subprocess, sys

provi, peers = sys.argv[1], sys.argv[2]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
data = os.environ["PEER_DATA"]
logreg = ["--data", f"X,y={data}/logreg.csv:1-50,51", "--data", "N=10000", "--data", "D=50"]
cases = [
    ("eight_schools.ppl", [], "eight_schools.py", "p1", 8.0),
    ("eight_schools_100.ppl", [], "eight_schools.py", "p100", 4.0),
    ("logistic_regression.ppl", logreg, "logreg.py", "full_p1", 1.8),
]


def run(command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def ours(program, extra):
    out = subprocess.run([provi, "bench", os.path.join(here, program), "--format", "json", *extra],
                         check=True, capture_output=True, text=True).stdout
    return json.loads(out)["step_us"]["p10"]


def theirs(script, variant):
    return run([sys.executable, os.path.join(peers, script), "--impl", "jax", "--variant", variant,
                "--dtype", "f64"])["per_step_p10"]


for program, extra, script, variant, target in cases:
    a, b = [], []
    for _ in range(rounds):
        a.append(ours(program, extra))
        b.append(theirs(script, variant))
    ratio = statistics.median(b) / statistics.median(a)
    shown = lambda xs: " ".join(f"{x:.4g}" for x in xs)
    print(f"{variant:8} provi {shown(a)}   jax {shown(b)}   ratio {ratio:.2f} (target {target})", flush=True)
