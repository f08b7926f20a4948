"""What run_all.sh hands over to: trains, evaluates and reports experiments and suites of them.

`plan.py` says what there is to do, `Snakefile` how it is done, `progress.py` what a person sees of
it. docs/workflow.md explains the whole.
"""
