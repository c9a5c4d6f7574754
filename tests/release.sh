#!/bin/sh
# Builds wheel and sdist, installs each into a clean environment with the pins, and runs the quickstart there, away from
# the sources. Needs pip to reach a package index. PYTHON may name the interpreter, WORK the folder (a temporary one).
set -eu
cd "$(dirname "$0")/.."
source=$PWD
python=${PYTHON:-python3}
work=${WORK:-$(mktemp -d)}
[ -n "${WORK:-}" ] || trap 'rm -rf "$work"' EXIT
pip="-m pip --disable-pip-version-check --quiet"

"$python" -m venv "$work/build"
"$work/build/bin/python" $pip install build
"$work/build/bin/python" -m build --outdir "$work/dist" "$source" >"$work/build.log" || { cat "$work/build.log" >&2; exit 1; }
echo "built: $(cd "$work/dist" && echo *)"

for file in "$work"/dist/*.whl "$work"/dist/*.tar.gz; do
  environment=$work/clean-$(basename "$file")
  "$python" -m venv "$environment"
  "$environment/bin/python" $pip install --constraint "$source/constraints.txt" "$file"
  mkdir "$environment/away" && cd "$environment/away"
  case $("$environment/bin/python" -c 'import distlandscape; print(distlandscape.__file__)') in
    "$environment"/*) ;;
    *) echo "the package was imported from elsewhere than $environment" >&2; exit 1 ;;
  esac
  "$environment/bin/distlandscape" quickstart --out results >quickstart.log 2>&1 || { cat quickstart.log >&2; exit 1; }
  [ -s results/quickstart-*/report.html ]
  echo "$(basename "$file"): installs, and the quickstart makes its page"
  cd "$source"
  rm -rf "$environment"
done
