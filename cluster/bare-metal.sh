#!/bin/sh
# A Ray cluster on hosts that are reached by SSH and share a file system; the first host becomes the head.
#   cluster/bare-metal.sh up   HOST HOST …      start; prints how to submit
#   cluster/bare-metal.sh down HOST HOST …      end what this script started, by the numbers it wrote down
# VENV: environment with distlandscape, the same path on every host. SHARED: folder all hosts see, readable by you alone.
set -eu
: "${VENV:?set VENV to the environment with distlandscape, the same path on every host}"
: "${SHARED:?set SHARED to a folder on the shared file system}"
PORT=${PORT:-6379}
DASHBOARD=${DASHBOARD:-8265}
[ $# -ge 2 ] || { echo "usage: $0 up|down HOST …" >&2; exit 2; }
action=$1
head=$2
shift

token=$SHARED/ray-token
common="RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH='$token' RAY_USAGE_STATS_ENABLED=0 RAY_JOB_STOP_WAIT_TIME_S=60"

# Ray opens the folder it is given to all users of the host, so it gets one inside of a private one.
start() { # host, arguments of ray start
  ssh "$1" "umask 077; mkdir -p '$SHARED/pids'; cd '$SHARED';
    temp=\$(mktemp -d /tmp/dl-ray-XXXXXXXX) && echo \"\$temp\" >'$SHARED/pids/$1.temp' || exit 1;
    env $common nohup setsid '$VENV/bin/ray' start --block $2 --temp-dir=\"\$temp/ray\" >'$SHARED/pids/$1.log' 2>&1 </dev/null &
    echo \$! >'$SHARED/pids/$1'"
}

case $action in
up)
  ssh "$head" "umask 077; mkdir -p '$SHARED'; [ -s '$token' ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >'$token'"
  # The dashboard and its job server stay on the head's loopback: reach them through SSH.
  start "$head" "--head --port=$PORT --dashboard-host=127.0.0.1 --dashboard-port=$DASHBOARD"
  shift
  for host in "$@"; do
    start "$host" "--address=$head:$PORT"
  done
  echo "tunnel:  ssh -N -L $DASHBOARD:127.0.0.1:$DASHBOARD $head"
  echo "submit:  RAY_AUTH_TOKEN_PATH=$token distlandscape submit spectrum --address http://127.0.0.1:$DASHBOARD --out $SHARED/results"
  ;;
down)
  for host in "$@"; do
    # The session's leader and its children: setsid made a group of them.
    ssh "$host" "[ ! -s '$SHARED/pids/$host' ] || { kill -s TERM -- -\$(cat '$SHARED/pids/$host') 2>/dev/null || true; rm '$SHARED/pids/$host'; }
      [ ! -s '$SHARED/pids/$host.temp' ] || { temp=\$(cat '$SHARED/pids/$host.temp'); rm '$SHARED/pids/$host.temp';
        for try in 1 2 3 4 5; do rm -rf \"\$temp\" 2>/dev/null && break; sleep 1; done; }"
  done
  ;;
*)
  echo "usage: $0 up|down HOST …" >&2
  exit 2
  ;;
esac
