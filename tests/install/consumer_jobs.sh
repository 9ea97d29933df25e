#!/usr/bin/env bash
# Trains a job whose op, layer, optimizer, loss, metric, data source and callback are those of the consumer program, in every
# way that Trireme spreads a job, and compares the losses: consumer_jobs.sh PROGRAM FOLDER.
set -euo pipefail
program=$1 folder=$2
here=$(dirname "$(realpath "$0")")
cd "$folder"

awk 'BEGIN { for (i = 0; i < 600; ++i) { x = sin(i * 12.9898); y = cos(i * 78.233); print x, y, 0.5 * x - y * y } }' >points.txt
job=$here/consumer/own_parts.textproto

run() { # NAME COMMAND…
  local name=$1
  shift
  "$@" --output-dir "$name" --set "callbacks[0].loss_lines.file=$name.losses" >"$name.out" 2>&1 || {
    echo "$name failed:"
    cat "$name.out"
    exit 1
  }
}
run one_process "$program" train "$job"
run shm "$program" launch --workers 3 "$job" --set distributed.backend=shm
run grpc "$program" launch --workers 3 "$job" --set distributed.backend=grpc
run mpi mpirun --allow-run-as-root --oversubscribe -np 3 "$program" train "$job" --set distributed.backend=mpi
run servers "$program" launch --workers 2 --ps 2 "$job"

# Of log.csv: epoch,loss,within,val_loss,val_within.
head -1 one_process/log.csv | grep -q 'loss.*within.*val_loss' || { echo "unexpected columns:"; head -1 one_process/log.csv; exit 1; }
[[ $(wc -l <one_process/log.csv) == 4 ]] || { echo "expected three epochs:"; cat one_process/log.csv; exit 1; }
for other in shm grpc mpi servers; do
  paste -d, one_process/log.csv "$other/log.csv" | awk -F, -v other="$other" '
    NR == 1 { columns = NF / 2; for (i = 1; i <= columns; ++i) if ($i ~ /loss$/) is_loss[i] = 1; next }
    { for (i in is_loss) { d = $i - $(i + columns); if (d < 0) d = -d; if (!(d <= 1e-4 * ($i > 1 ? $i : 1))) bad = bad $0 "\n" } }
    END { if (NR != 4 || bad != "") { printf "%s differs from one process:\n%s", other, bad; exit 1 } }'
done
# The training learned something, and the callback saw each epoch.
awk -F, 'NR == 2 { first = $2 } NR == 4 { exit !($2 < first) }' one_process/log.csv || { echo "the loss did not fall"; exit 1; }
[[ $(wc -l <one_process.losses) == 3 ]] || { echo "the callback did not see three epochs"; exit 1; }
"$program" evaluate "$job" --checkpoint one_process/checkpoints
"$program" describe layer squared_dense | grep -q units
echo "equal losses: one process, shm, grpc, mpi, servers"
