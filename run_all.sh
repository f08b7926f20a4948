#!/usr/bin/env bash
# From a fresh clone to results: makes the environment, and hands over to workflow/; `./run_all.sh --help` says how.
set -euo pipefail

fail() { # message...: a mistake of the user's
  printf 'error: %s\n' "$*" >&2
  exit 2
}

find_python() { # prints a Python of at least 3.11
  local candidate
  for candidate in "${VIRTUAL_ENV:-.venv}/bin/python" .venv/bin/python python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is needed, and neither python3.11 nor python3 is that"
}

has() { # python package...: is each installed for it? -I: look there, and not in this directory.
  "$1" -I -c 'import importlib.util as u, sys; sys.exit(None in map(u.find_spec, sys.argv[1:]))' "${@:2}" 2>/dev/null
}

# Sets PYTHON: of the active environment where tfp_genens is installed in it, otherwise of .venv, made if need be.
use_environment() { # extras of pyproject.toml; packages that only these bring
  local key
  if [ -n "${VIRTUAL_ENV:-}" ] && has "$VIRTUAL_ENV/bin/python" tfp_genens; then
    PYTHON=$VIRTUAL_ENV/bin/python
    # shellcheck disable=SC2086  # names of packages have no blanks
    has "$PYTHON" $2 || fail "$2: expected in $VIRTUAL_ENV; pip install -c constraints.txt -e '.[$1]'"
    return
  fi
  PYTHON=.venv/bin/python
  key=$(cat pyproject.toml constraints.txt | { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1)
  if grep -qsx "$key" ".venv/installed-$1" .venv/installed-test; then return; fi

  if ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
    local python
    python=$(find_python)
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || fail ".venv could not be made; on Debian and Ubuntu: apt-get install python3-venv"
  fi
  echo "Installing into .venv (about 2 GB, some minutes; log: .venv/install.log)"
  if ! "$PYTHON" -m pip install -c constraints.txt -e ".[$1]" >.venv/install.log 2>&1; then
    tail -n 20 .venv/install.log >&2
    echo "error: the installation failed; the log is .venv/install.log" >&2
    exit 1
  fi
  echo "$key" >".venv/installed-$1"
}

export RUN_ALL="${RUNS_DIR:+RUNS_DIR=$RUNS_DIR }$0${*:+ $*}" # what continues where this is interrupted
case ${RUNS_DIR:-/} in /*) ;; *) export RUNS_DIR=$PWD/$RUNS_DIR ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"

if [ "${1:-}" = test ]; then
  use_environment test "hypothesis pytest pytest_cov pytest_timeout xdist"
  exec "$PYTHON" -m pytest "${@:2}"
fi
python=$(find_python)
case " $* " in *" --help "* | *" -h "* | *" --dry_run "*) exec "$python" -m workflow "$@" ;; esac
"$python" -m workflow --dry_run "$@" >/dev/null # so that a mistake is told before anything is installed
use_environment workflow "snakemake jinja2 matplotlib"
exec "$PYTHON" -m workflow "$@"
