#!/usr/bin/env bash
# From a fresh clone to results: installs, trains, evaluates, reports; `./run_all.sh --help` says how.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: ./run_all.sh [NAME...] [--overlay=OVERLAY] [--jobs=N] [--dry_run]
       ./run_all.sh test [pytest arguments]

With no NAME: the experiment `digits`, which needs no download. For each NAME, flags/NAME.cfg is trained
into runs/NAME, evaluated into runs/NAME/evaluation and reported in runs/NAME/report.html. Where there is
a flags/evaluate/NAME.cfg, it is how NAME is evaluated. NAME may also be a suite, flags/suites/NAME.txt:
several experiments, and tables and figures made of them in runs/NAME. What is finished is skipped and
what was interrupted is continued, so the same command may be given again at any time; to evaluate anew,
remove runs/NAME/evaluation. Out-of-distribution sets that cannot be had are left out, named at the end,
where the exit code is 2, and tried again the next time. `test` runs the tests.

An experiment may be named NAME+OVERLAY: flags/OVERLAY.cfg (and flags/evaluate/OVERLAY.cfg, then
flags/evaluate/NAME+OVERLAY.cfg) are read after its own flags, and the run is kept in runs/NAME+OVERLAY.
FAMILY_*.cfg is for experiments with --model=FAMILY.

  --overlay=NAME  use this overlay in every experiment, before any of its own
  --jobs=N        members to train at once, or quick experiments of a suite to run at once; default: one a core
                  (one in all where there is an NVIDIA GPU)
  --dry_run       list the commands and where each one stands, and run nothing
  --help          this text

The active virtual environment is used if tfp_genens is installed in it, otherwise .venv, made if need be.
RUNS_DIR=DIR keeps the runs in DIR instead of runs/.
TEXT
  printf '\nexperiments: %s\noverlays:    %s\nsuites:      %s\n' "$(experiments)" "$(overlays)" "$(suites)"
}

fail() { # message...: a mistake of the user's
  printf 'error: %s\n' "$*" >&2
  exit 2
}

# ---------------------------------------------------------------- what there is

flagfile_names() { # grep option: names of the flagfiles that choose a model (-l), or of those that do not (-L)
  local file names=()
  for file in $(grep "$1" -e '^--model=' flags/*.cfg || true); do
    file=${file#flags/}
    names+=("${file%.cfg}")
  done
  [ ${#names[@]} -eq 0 ] || printf '%s ' "${names[@]}" | sed 's/ $//'
}
experiments() { flagfile_names -l; }
overlays() { flagfile_names -L; }
suites() {
  local file names=()
  for file in flags/suites/*.txt; do
    [ ! -f "$file" ] || names+=("$(basename "$file" .txt)")
  done
  echo "${names[*]:-}"
}

is_in() { # word list
  case " $2 " in *" $1 "*) return 0 ;; esac
  return 1
}

sha256() { # of standard input
  { sha256sum 2>/dev/null || shasum -a 256; } | cut -d ' ' -f 1
}

num_cores() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN; }

# ---------------------------------------------------------------- the environment

find_python() { # prints a Python of at least 3.11
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is needed, and neither python3.11 nor python3 is that"
}

# Sets PYTHON. Extras: report or test (which includes report).
use_environment() { # extras
  local stamp key python
  # -I: look among what is installed, not in this directory.
  if [ -n "${VIRTUAL_ENV:-}" ] && "$VIRTUAL_ENV/bin/python" -I -c \
    'import importlib.util as u, sys; sys.exit(u.find_spec("tfp_genens") is None)' 2>/dev/null; then
    PYTHON=$VIRTUAL_ENV/bin/python
    return
  fi
  PYTHON=.venv/bin/python
  stamp=.venv/installed-
  key=$(cat pyproject.toml constraints.txt | sha256)
  if grep -qsx "$key" "$stamp$1" "${stamp}test"; then return; fi

  if ! "$PYTHON" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv ||
      fail ".venv could not be made; on Debian and Ubuntu: apt-get install python3-venv"
  fi
  echo "Installing into .venv (about 2 GB, some minutes; log: .venv/install.log)"
  if ! "$PYTHON" -m pip install -c constraints.txt -e ".[$1]" >.venv/install.log 2>&1; then
    tail -n 20 .venv/install.log >&2
    echo "error: the installation failed; the log is .venv/install.log" >&2
    exit 1
  fi
  echo "$key" >"$stamp$1"
}

run_tests() { # pytest arguments
  use_environment test
  "$PYTHON" -I -c 'import hypothesis, pytest, pytest_cov, pytest_timeout, xdist' 2>/dev/null ||
    fail "the test tools are missing from $VIRTUAL_ENV: pip install -c constraints.txt -e '.[test]'"
  exec "$PYTHON" -m pytest "$@"
}

# ---------------------------------------------------------------- processes

# Children run in process groups of their own, so that Ctrl-C reaches them once, through interrupt(), as the
# SIGTERM on which training saves a checkpoint.
children=""

launch() { # command...: in the background; sets $! to its process id
  set -m
  "$@" </dev/null &
  set +m
  children="$children $!"
}

stop_children() {
  local pid
  for pid in $children; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in $children; do wait "$pid" 2>/dev/null || true; done
  children=""
}

interrupt() { # exit code
  trap '' INT TERM HUP
  printf '\nStopping; training saves a checkpoint first.\n' >&2
  stop_children
  printf 'Interrupted. To continue: %s\n' "$command_line" >&2
  exit "$1"
}

run() { # command...: in the foreground
  local status=0
  launch "$@"
  wait $! || status=$?
  children=""
  return "$status"
}

# ---------------------------------------------------------------- where a run stands

# A step is done when what it writes last is there and a stamp in RUN/.run_all says that it came from the present
# flags and inputs. Where only the stamp is missing, the step itself is asked: it checks, and does nothing twice.

flags_in() { # files...: without comments and blank lines
  sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' /dev/null "$@"
}

with_overlay() { # experiment[+overlay...]: the same with --overlay, where it is not there yet
  local own=${1#"${1%%+*}"}
  case $own+ in *"+$overlay+"*) echo "$1" ;; *) echo "${1%%+*}${overlay:++$overlay}$own" ;; esac
}

# Sets run, flagfiles, flags, evaluation_flagfiles, evaluation_flags, model, num_members, train_steps.
plan() { # experiment[+overlay...], without --overlay
  local file parts part finetune_steps
  run=$RUNS/$(with_overlay "$1")
  IFS=+ read -ra parts <<<"${run##*/}"
  flagfiles=("${parts[@]/#/flags/}")
  flagfiles=("${flagfiles[@]/%/.cfg}")
  evaluation_flagfiles=""
  for file in "${flagfiles[@]#flags/}" "${parts[@]/#/${parts[0]}+}"; do
    file=${file%.cfg}.cfg
    if [ -f "flags/evaluate/$file" ]; then evaluation_flagfiles+=" flags/evaluate/$file"; fi
  done
  flags=$(flags_in "${flagfiles[@]}")
  # shellcheck disable=SC2086  # names of flagfiles have no blanks
  evaluation_flags=$(flags_in $evaluation_flagfiles)
  model=$(value_of model)
  num_members=$(whole_number num_members)
  finetune_steps=$(value_of finetune_steps)
  train_steps=0 # of what is fitted in no steps
  if [ -n "$(value_of train_steps)" ]; then
    train_steps=$(($(whole_number train_steps) + ${finetune_steps:-0}))
  fi
  for part in "${parts[@]:1}"; do
    if is_in "${part%%_*}" "$(families)" && [ "${part%%_*}" != "$model" ]; then
      fail "$1: expected no overlay of --model=${part%%_*} for an experiment of --model=$model, got $part"
    fi
  done
}

families() { sed -n 's/^--model=//p' flags/*.cfg | sort -u | tr '\n' ' '; }

value_of() { # flag: the last that the flagfiles give
  sed -n "s/^--$1=//p" <<<"$flags" | tail -n 1
}

whole_number() { # flag
  local value
  value=$(value_of "$1")
  case $value in '' | *[!0-9]* | 0*) fail "${flagfiles[*]}: expected --$1=N, a whole number of at least 1" ;; esac
  echo "$value"
}

manifests() { # all members' files, in order
  local i
  for ((i = 0; i < num_members; i++)); do cat "$run/member_$i/manifest.json"; done
}

# What each step's work depends on; empty where its input is not there yet.
member_key() { # member
  [ ! -f "$run/member_$1/manifest.json" ] || { echo "$flags" && cat "$run/member_$1/manifest.json"; } | sha256
}
evaluation_key() { { printf '%s' "$evaluation_flags" && manifests 2>/dev/null; } | sha256; }
report_key() { sha256 <"$run/evaluation/results.json"; }

is_stamped() { # step key
  [ -n "$2" ] && [ "$(cat "$run/.run_all/$1" 2>/dev/null)" = "$2" ]
}
stamp() { # step key
  mkdir -p "$run/.run_all"
  echo "$2" >"$run/.run_all/$1"
}

asked_members() { # the number that training was last asked for: as many are evaluated
  sed -n 's/^ *"num_members": *\([0-9]*\).*/\1/p' "$run/config.json" 2>/dev/null || true
}

member_state() { # member
  if is_stamped "member_$1" "$(member_key "$1")" && [ "$(asked_members)" = "$num_members" ]; then
    echo 'done'
  elif [ -d "$run/member_$1" ]; then
    echo "to continue"
  else
    echo "to do"
  fi
}

training_is_done() {
  local i
  for ((i = 0; i < num_members; i++)); do [ "$(member_state "$i")" = 'done' ] || return 1; done
}

evaluation_state() {
  if ! training_is_done; then
    echo "to do"
  elif [ -f "$run/evaluation/results.json" ] && is_stamped evaluation "$(evaluation_key)"; then
    echo 'done'
  elif [ -d "$run/evaluation" ]; then
    echo "to continue"
  else
    echo "to do"
  fi
}

report_is_done() { # of the evaluation that is there
  [ -f "$run/report.html" ] && is_stamped report "$(report_key)"
}

report_state() {
  if [ "$(evaluation_state)" = 'done' ] && report_is_done; then
    echo 'done'
  else
    echo "to do"
  fi
}

# ---------------------------------------------------------------- the steps

set_commands() { # sets train, evaluate, report for the planned run
  local file
  train=("${PYTHON:-python}" -m tfp_genens.train)
  for file in "${flagfiles[@]}"; do train+=("--flagfile=$file"); done
  train+=("--run_dir=$run")
  evaluate=("${PYTHON:-python}" -m tfp_genens.evaluate)
  for file in $evaluation_flagfiles; do evaluate+=("--flagfile=$file"); done
  evaluate+=("--run_dir=$run" "--output_dir=$run/evaluation")
  report=("${PYTHON:-python}" -m tfp_genens.report "--evaluation_dir=$run/evaluation" "--output=$run/report.html")
}

processes() { # that train at once: as many as asked for
  if [ -n "$jobs" ]; then
    echo "$jobs"
  elif command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q .; then
    echo 1 # Two processes on one GPU fight over its memory.
  else
    num_cores
  fi
}

threads() { # processes: for each of so many
  local threads=$(($(num_cores) / $1))
  echo $((threads > 0 ? threads : 1))
}

set_jobs() { # sets num_jobs and num_threads for the planned run: at most one job a member
  num_jobs=$(processes)
  if [ "$num_jobs" -gt "$num_members" ]; then num_jobs=$num_members; fi
  num_threads=$(threads "$num_jobs")
}

set_quick() { # the same for a planned run beside others, and what set_commands has set
  num_jobs=1 num_threads=$(threads "$(processes)")
  train+=("--num_threads=$num_threads")
  evaluate+=(--figures=false)
  report=()
}

show() { # state command...
  printf '  %-11s  %s\n' "$1" "${*:2}"
}

list() { # a dry run
  local i
  echo "$run"
  if [ "$num_jobs" -eq 1 ]; then
    if training_is_done; then
      show 'done' "${train[@]}"
    elif [ -d "$run" ]; then
      show "to continue" "${train[@]}"
    else
      show "to do" "${train[@]}"
    fi
  else
    for ((i = 0; i < num_members; i++)); do
      show "$(member_state "$i")" "${train[@]}" "--member=$i" "--num_threads=$num_threads"
    done
  fi
  show "$(evaluation_state)" "${evaluate[@]}"
  if [ ${#report[@]} -gt 0 ]; then show "$(report_state)" "${report[@]}"; fi
}

train_one_by_one() {
  local i
  run "${train[@]}" || return $?
  for ((i = 0; i < num_members; i++)); do stamp "member_$i" "$(member_key "$i")"; done
}

steps_taken() { # member: as its metrics.csv has it
  local step
  if is_in "$1" "$finished"; then
    echo "$train_steps"
    return
  fi
  step=$(tail -n 1 "$run/member_$1/metrics.csv" 2>/dev/null | cut -d , -f 1)
  case $step in '' | *[!0-9]*) echo 0 ;; *) echo "$step" ;; esac
}

duration() { # seconds
  printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

say() { # message...: on a line of its own, above the progress
  if [ -t 1 ]; then printf '\r\033[K'; fi
  echo "$*"
}

show_progress() { # on a terminal one line, rewritten in place
  local i taken total=0 line="" left elapsed
  for ((i = 0; i < num_members; i++)); do
    taken=$(steps_taken "$i")
    total=$((total + taken))
    if is_in "$i" "$finished"; then line+="  $i: done"; else line+="  $i: $taken"; fi
  done
  # The pace is taken from the first steps seen onwards: what comes before them is not training.
  if [ -z "$first_total" ]; then
    first_total=$total
  elif [ -z "$paced_total" ] && [ "$total" -gt "$first_total" ]; then
    paced_total=$total paced_since=$SECONDS
  elif [ -n "$paced_total" ] && [ "$total" -gt "$paced_total" ]; then
    elapsed=$((SECONDS - paced_since))
    left=$(((num_members * train_steps - total) * elapsed / (total - paced_total)))
    line+="  about $(duration "$left") left"
    if [ -z "$advised" ] && [ ${#flagfiles[@]} -eq 1 ] && [ "$elapsed" -gt 30 ] && [ "$left" -gt 3600 ] &&
      [ -f "flags/${model}_cpu.cfg" ]; then
      say "This will take about $((left / 60)) minutes. --overlay=${model}_cpu trains with settings that" \
        "CPUs can carry; flags/${model}_cpu.cfg says what they change."
      advised=yes
    fi
  fi
  if [ -t 1 ] && [ "$train_steps" -gt 0 ]; then printf '\r\033[KSteps of %d, by member:%s' "$train_steps" "$line"; fi
}

train_in_parallel() {
  local i pid status waiting="" finished="" running="" started=$SECONDS
  local first_total="" paced_total="" paced_since="" advised=""
  mkdir -p "$run/logs"
  for ((i = 0; i < num_members; i++)); do
    if [ "$(member_state "$i")" = 'done' ]; then finished+=" $i"; else waiting+=" $i"; fi
  done

  while [ -n "$waiting$running" ]; do
    while [ -n "$waiting" ] && [ "$(wc -w <<<"$running")" -lt "$num_jobs" ]; do
      read -r i waiting <<<"$waiting"
      say "Member $i: training (log: $run/logs/member_$i.log)"
      launch "${train[@]}" "--member=$i" "--num_threads=$num_threads" >"$run/logs/member_$i.log" 2>&1
      running+=" $i=$!"
    done
    show_progress
    sleep 0.5
    for i in $running; do
      pid=${i#*=} i=${i%=*}
      if kill -0 "$pid" 2>/dev/null; then continue; fi
      status=0
      wait "$pid" || status=$?
      running=${running/ $i=$pid/}
      children=${children/ $pid/}
      if [ "$status" -ne 0 ]; then
        say "Member $i: failed with exit code $status; the end of $run/logs/member_$i.log:"
        tail -n 15 "$run/logs/member_$i.log" >&2
        stop_children
        echo "The other members were stopped; the same command continues them." >&2
        return "$status"
      fi
      stamp "member_$i" "$(member_key "$i")"
      finished+=" $i"
      say "Member $i: done after $(duration $((SECONDS - started)))"
    done
  done
  if [ -t 1 ]; then printf '\r\033[K'; fi
}

missing_sets() { # as results.json has them, one a line
  "$PYTHON" -c '
import json, sys
for entry in json.load(open(sys.argv[1], encoding="utf-8"))["missing"]:
    print(sys.argv[2] + ":", entry["ood_dataset"], "was not evaluated:", entry["reason"])
' "$run/evaluation/results.json" "$run"
}

# Where only some sets could not be had, evaluate ends with exit code 2 when everything else is written. That is not
# stamped, so that they are tried again the next time, and adds to $missing instead of ending the script.
evaluate_run() {
  local key status=0 here=""
  key=$(evaluation_key)
  mkdir -p "$run/logs" "$run/.run_all"
  rm -f "$run/.run_all/evaluation" "$run/.run_all/report"
  : >"$run/.run_all/evaluation_started"
  run "${evaluate[@]}" >"$run/logs/evaluate.log" || status=$?
  if [ "$status" -eq 0 ]; then
    stamp evaluation "$key"
    return
  fi
  if [ "$status" -eq 2 ] && [ "$run/evaluation/results.json" -nt "$run/.run_all/evaluation_started" ]; then
    here=$(missing_sets)
  fi
  if [ -z "$here" ]; then return "$status"; fi
  missing+="$here"$'\n'
}

train_and_evaluate() { # of the planned run
  if ! training_is_done; then
    if [ "$num_jobs" -eq 1 ]; then train_one_by_one; else train_in_parallel; fi
  fi
  if [ "$(evaluation_state)" != 'done' ]; then
    echo "Evaluating into $run/evaluation"
    evaluate_run
  fi
}

run_experiment() { # of the planned run
  local key
  echo "== $run =="
  train_and_evaluate
  if ! report_is_done; then
    key=$(report_key)
    run "${report[@]}" >"$run/logs/report.log"
    stamp report "$key"
  fi
  echo
  cat "$run/evaluation/table.md"
  printf '\nReport: %s\n' "$run/report.html"
}

# ---------------------------------------------------------------- suites

# A line of a suite is
#   run EXPERIMENT[+OVERLAY...]    as with ./run_all.sh EXPERIMENT;
#   quick EXPERIMENT[+OVERLAY...]  for what trains in seconds: after the former, several experiments at once, all members
#                                  of one in one process, and without figures and report.html, which would take as long
#                                  again;
#   report FILE ARGUMENTS          what `python -m tfp_genens.report` is given to write FILE; @EXPERIMENT stands for the
#                                  directory of that experiment's evaluation.
suite_lines() { # suite kind: the rest of each line of that kind
  sed -n "s/^$2 *//p" "flags/suites/$1.txt"
}

quick_experiment() { # of the planned run, in a process of its own
  children=""
  trap - EXIT INT HUP
  trap 'stop_children; exit 143' TERM
  train_and_evaluate
}

run_quick() { # experiment[+overlay...]...
  local entry experiment pid status num_processes running="" started=$SECONDS
  num_processes=$(processes)
  while [ $# -gt 0 ] || [ -n "$running" ]; do
    while [ $# -gt 0 ] && [ "$(wc -w <<<"$running")" -lt "$num_processes" ]; do
      plan "$1"
      if [ "$(evaluation_state)" = 'done' ]; then
        echo "$run: done"
      else
        set_commands
        set_quick
        mkdir -p "$run/logs"
        echo "$run: training and evaluating (log: $run/logs/run_all.log)"
        launch quick_experiment >"$run/logs/run_all.log" 2>&1
        running+=" $1=$!"
      fi
      shift
    done
    sleep 0.2
    for entry in $running; do
      experiment=${entry%=*} pid=${entry##*=}
      if kill -0 "$pid" 2>/dev/null; then continue; fi
      status=0
      wait "$pid" || status=$?
      running=${running/ $entry/}
      children=${children/ $pid/}
      plan "$experiment"
      if [ "$status" -ne 0 ]; then
        echo "$run: failed with exit code $status; the end of $run/logs/run_all.log:"
        tail -n 15 "$run/logs/run_all.log" >&2
        stop_children
        echo "The other experiments were stopped; the same command continues them." >&2
        return "$status"
      fi
      if [ "$(evaluation_state)" != 'done' ]; then missing+=$(missing_sets)$'\n'; fi
      echo "$run: done after $(duration $((SECONDS - started)))"
    done
  done
}

evaluation_of() { # experiment[+overlay...]
  echo "$RUNS/$(with_overlay "$1")/evaluation"
}

expand() { # text: with @EXPERIMENT replaced
  local rest=$1 expanded=""
  while [[ $rest =~ ^([^@]*)@([A-Za-z0-9_.+]+)(.*)$ ]]; do
    rest=${BASH_REMATCH[3]}
    expanded+=${BASH_REMATCH[1]}$(evaluation_of "${BASH_REMATCH[2]}")
  done
  echo "$expanded$rest"
}

report_line_key() { # line: of a suite, the evaluations that it names, and the code that reports
  local spec
  {
    echo "$1"
    cat tfp_genens/reporting/* tfp_genens/evaluation/* 2>/dev/null || true
    while read -r spec; do
      cat "$(evaluation_of "${spec#@}")/results.json" 2>/dev/null || true
    done < <(grep -oE '@[A-Za-z0-9_.+]+' <<<"$1")
  } | sha256
}

make_reports() { # suite: its tables and figures
  local line words word key
  run=$RUNS/$(with_overlay "$1")
  if $dry_run; then echo "$run"; else echo "== $run ==" && mkdir -p "$run/logs"; fi
  while read -r line; do
    read -ra words <<<"$line"
    report=("${PYTHON:-python}" -m tfp_genens.report)
    for word in "${words[@]:1}"; do report+=("$(expand "$word")"); done
    report+=("--output=$run/${words[0]}")
    key=$(report_line_key "$line")
    if [ -f "$run/${words[0]}" ] && is_stamped "${words[0]}" "$key"; then
      if $dry_run; then show 'done' "${report[@]}"; fi
    elif $dry_run; then
      show "to do" "${report[@]}"
    else
      run "${report[@]}" >>"$run/logs/report.log"
      stamp "${words[0]}" "$key"
      echo "$run/${words[0]}"
    fi
  done < <(suite_lines "$1" report)
}

# ---------------------------------------------------------------- main

command_line="${RUNS_DIR:+RUNS_DIR=$RUNS_DIR }$0${*:+ $*}"
RUNS=${RUNS_DIR:-runs}
if [ -n "${RUNS_DIR:-}" ]; then case $RUNS in /*) ;; *) RUNS=$PWD/$RUNS ;; esac; fi
cd "$(dirname "${BASH_SOURCE[0]}")"
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"

if [ "${1:-}" = test ]; then
  shift
  run_tests "$@"
fi

check_name() { # suite or experiment[+overlay...]
  local part parts
  if is_in "$1" "$(suites)"; then return; fi
  IFS=+ read -ra parts <<<"$1"
  is_in "${parts[0]:-}" "$(experiments)" || fail "$1: expected one of $(experiments) $(suites)"
  for part in "${parts[@]:1}"; do
    is_in "$part" "$(overlays)" || fail "$1: expected +OVERLAY to be one of $(overlays)"
  done
}

names=() overlay="" jobs="" dry_run=false missing=""
for argument in "$@"; do
  case $argument in
    --help | -h) usage && exit 0 ;;
    --dry_run) dry_run=true ;;
    --overlay=*) overlay=${argument#*=} ;;
    --jobs=*) jobs=${argument#*=} ;;
    -*) fail "$argument: expected --overlay=NAME, --jobs=N, --dry_run or --help" ;;
    test) fail "test: expected as the first argument, ./run_all.sh test [pytest arguments]" ;;
    *)
      check_name "$argument"
      names+=("$argument")
      ;;
  esac
done
if [ ${#names[@]} -eq 0 ]; then names=(digits); fi
if [ -n "$overlay" ] && ! is_in "$overlay" "$(overlays)"; then
  fail "--overlay=$overlay: expected one of $(overlays)"
fi
if [ -n "$jobs" ]; then
  case $jobs in *[!0-9]* | 0*) fail "--jobs=$jobs: expected a whole number of at least 1" ;; esac
fi

if ! $dry_run; then
  use_environment report
  trap stop_children EXIT
  trap 'interrupt 130' INT
  trap 'interrupt 143' TERM
  trap 'interrupt 129' HUP
fi
for name in "${names[@]}"; do
  planned=("$name") quick=()
  if is_in "$name" "$(suites)"; then
    mapfile -t planned < <(suite_lines "$name" run)
    mapfile -t quick < <(suite_lines "$name" quick)
  fi
  for experiment in "${planned[@]}"; do
    plan "$experiment"
    set_commands
    set_jobs
    if $dry_run; then list; else run_experiment; fi
  done
  if $dry_run; then
    for experiment in "${quick[@]}"; do plan "$experiment" && set_commands && set_quick && list; done
  else
    run_quick "${quick[@]}"
  fi
  if is_in "$name" "$(suites)"; then make_reports "$name"; fi
done
if [ -n "$missing" ]; then
  printf '\n%s' "$missing" >&2
  fail "the sets above could not be evaluated; the same command tries them again"
fi
