#!/bin/sh
# Builds the programs for one processor with plain cargo, puts them where the CDK construct looks for them, and
# checks them:
#
#   build-lambda.sh TARGET SUFFIX FUNCTION…
#
# writes dist/lambda<SUFFIX>/<function>/bootstrap, the trigger's among them, and dist/worker<SUFFIX>/user-sync.
set -eu
cd "$(dirname "$0")/.."
target=$1 suffix=$2
shift 2
functions=dist/lambda$suffix worker=dist/worker$suffix

if [ "$(rustc -vV | sed -n 's/^host: //p')" = "$target" ]; then
	# Without --target, so that it shares what `make test` has built.
	for_target='' built=$CARGO_TARGET_DIR
else
	for_target=--target=$target built=$CARGO_TARGET_DIR/$target
	# Cargo knows no linker for another processor.
	variable=$(echo "CARGO_TARGET_${target}_LINKER" | tr a-z- A-Z_)
	export "$variable=$(printenv "$variable" || echo "${target%%-*}-linux-gnu-gcc")"
fi

bins=''
for function in "$@"; do
	bins="$bins --bin $function"
done
# The trigger by itself and in its own profile: a build of the whole workspace would unite the features of what the
# programs share, and the trigger has to be small.
cargo build --locked --profile trigger $for_target -p cognito-user-sync-triggers --bin user-sync-trigger
cargo build --locked --release $for_target -p cognito-user-sync --bin user-sync $bins

rm -rf "$functions"
mkdir -p "$worker"
mkdir -p "$functions/user-sync-trigger"
cp "$built/trigger/user-sync-trigger" "$functions/user-sync-trigger/bootstrap"
for function in "$@"; do
	mkdir -p "$functions/$function"
	cp "$built/release/$function" "$functions/$function/bootstrap"
done
cp "$built/release/user-sync" "$worker/user-sync"
if [ -f infra/worker/Dockerfile ]; then
	cp infra/worker/Dockerfile "$worker/Dockerfile"
fi
python3 -B infra/check-lambda.py "$functions"/*/bootstrap "$worker/user-sync"
