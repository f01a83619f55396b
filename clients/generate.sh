#!/bin/sh
# Makes both clients from docs/openapi.json: `generate.sh [FOLDER]`, into FOLDER instead of this one.
# The generators are installed once, below ~/.cache/poststelle-test. What they write depends on their versions, so these are exact;
# those of npm stand in typescript/package.json.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
into=${1:-$here}
document=$here/../docs/openapi.json
cache=$HOME/.cache/poststelle-test
python=$cache/openapi-python-client-0.29.1
node=$cache/typescript-client

if ! [ -e "$python/done" ]; then
  python3 -m venv --clear "$python"
  "$python/bin/pip" install -q openapi-python-client==0.29.1 ruff==0.17.6
  touch "$python/done"
fi
if ! [ -e "$node/done" ] || ! cmp -s "$here/typescript/package.json" "$node/package.json"; then
  rm -rf "$node"
  mkdir -p "$node"
  cp "$here/typescript/package.json" "$node/"
  npm install --silent --prefix "$node" --cache "$cache/npm" --ignore-scripts --no-audit --no-fund
  touch "$node/done"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/config.yml" <<'CONFIG'
package_name_override: poststelle_client
post_hooks:
  - ruff check --quiet --isolated --no-cache --fix --extend-select=I .
  - ruff format --quiet --isolated --no-cache .
CONFIG
PATH=$python/bin:$PATH
openapi-python-client generate --path "$document" --config "$work/config.yml" --meta none --fail-on-warning \
  --output-path "$work/poststelle_client"
touch "$work/poststelle_client/py.typed"
"$node/node_modules/.bin/openapi-typescript" "$document" --output "$work/schema.d.ts"

mkdir -p "$into/python" "$into/typescript"
rm -rf "$into/python/poststelle_client"
mv "$work/poststelle_client" "$into/python/"
mv "$work/schema.d.ts" "$into/typescript/"
